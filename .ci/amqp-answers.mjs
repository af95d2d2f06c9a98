// Exits 0 if an AMQP 0-9-1 broker answers on 127.0.0.1:5672 within 3 s, else 1.
import { connect } from 'node:net';

const METHOD_FRAME = 1;
const socket = connect(5672, '127.0.0.1', () => socket.write(Buffer.from('AMQP\x00\x00\x09\x01', 'latin1')));
const end = (code) => process.exit(code);
socket.once('data', (data) => end(data[0] === METHOD_FRAME ? 0 : 1));
socket.once('error', () => end(1));
socket.once('close', () => end(1));
setTimeout(() => end(1), 3_000);
