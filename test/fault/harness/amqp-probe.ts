import { connect as connectSocket } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { connect } from 'amqplib';

const HEADER = Buffer.from([0x41, 0x4d, 0x51, 0x50, 0, 0, 9, 1]);
const METHOD_FRAME = 1;
const PROBE_MS = 1_000;
const POLL_MS = 5;

/** Whether the broker answers the protocol header: an open port alone says nothing, a proxy or a system can hold it. */
function answersHandshake(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connectSocket({ host: '127.0.0.1', port });
    const end = (answer: boolean) => (): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(answer);
    };
    const timer = setTimeout(end(false), PROBE_MS);
    socket.once('connect', () => socket.write(HEADER));
    socket.once('data', (chunk) => end(chunk[0] === METHOD_FRAME)());
    socket.once('error', end(false)).once('close', end(false));
  });
}

/** @returns when (Date.now) the handshake was answered first */
export async function untilHandshake(port: number, ms: number, isHopeless: () => boolean): Promise<number> {
  const end = Date.now() + ms;
  while (!(await answersHandshake(port))) {
    if (isHopeless()) throw new Error('The broker ended while it started.');
    if (Date.now() >= end) throw new Error(`The broker did not answer on port ${port} within ${ms} ms.`);
    await pause(POLL_MS);
  }
  return Date.now();
}

/** Logs in, and says which broker it is. */
export async function versionOf(url: string): Promise<string> {
  const connection = await connect(url, { timeout: 5_000 });
  const { product, version } = connection.connection.serverProperties;
  await connection.close();
  return `${product} ${version}`;
}
