import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { bounded, quiet, until } from '../../lib/testing/contract/until.js';
import { TcpProxy } from '../support/tcp-proxy.js';
import { range } from './harness/fake-broker.lab.js';
import { rawFrame } from './harness/fake-broker.wire.js';

const HEADER = Buffer.from('AMQP\u0000\u0000\u0009\u0001', 'latin1');
const BODY = 3;
const MIB = 1_048_576;

/** One end of a connection: what has come, and how it ended. */
class End {
  length = 0;
  private readonly chunks: Buffer[] = [];
  error: NodeJS.ErrnoException | undefined;
  hasEnded = false;

  constructor(readonly socket: Socket) {
    socket
      .on('data', (chunk) => {
        this.chunks.push(chunk);
        this.length += chunk.length;
      })
      .on('error', (error) => {
        this.error = error;
      })
      .on('end', () => {
        this.hasEnded = true;
      });
  }

  get bytes(): Buffer {
    return Buffer.concat(this.chunks);
  }
}

describe('the proxy itself', () => {
  let server: Server;
  let proxy: TcpProxy;
  let served: End[];

  beforeEach(async () => {
    served = [];
    server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => served.push(new End(socket)));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    proxy = await new TcpProxy(`amqp://127.0.0.1:${(server.address() as AddressInfo).port}`).listen();
  });

  afterEach(async () => {
    await proxy.close();
    for (const { socket } of served) socket.destroy();
    server.close();
    await once(server, 'close');
  });

  async function open(): Promise<readonly [client: End, broker: End]> {
    const count = served.length;
    const socket = connect({ host: '127.0.0.1', port: proxy.port, noDelay: true });
    const client = new End(socket);
    await once(socket, 'connect');
    socket.write(HEADER);
    await until('the header has come', () => served[count]?.length === HEADER.length);
    return [client, served[count] as End];
  }

  it('forwards both ways, and the end', async () => {
    const [client, broker] = await open();
    client.socket.write('question');
    await until('the question has come', () => broker.bytes.subarray(8).toString() === 'question');
    broker.socket.end('answer');
    await until('the answer has come', () => client.bytes.toString() === 'answer' && client.hasEnded);
    client.socket.end();
    await until('no connection is left', () => proxy.connections === 0);
    expect(broker.hasEnded).toBe(true);
    expect(proxy.resets).toBe(0);
  });

  it('late bytes come late, complete and in order', async () => {
    const [client, broker] = await open();
    proxy.latency(50, 50);
    const begin = Date.now();
    const chunks = range(100).map((n) => Buffer.alloc(1_000, n));
    for (const chunk of chunks) {
      client.socket.write(chunk);
      await quiet(1);
    }
    expect(broker.length).toBeLessThan(100_000);
    await until('all has come', () => broker.length === 8 + 100_000);
    expect(Date.now() - begin).toBeGreaterThanOrEqual(50);
    expect(broker.bytes.subarray(8).equals(Buffer.concat(chunks))).toBe(true);
  });

  it.each([0, 20])('holds the sender while the receiver does not read (latency %i)', async (ms) => {
    const [client, broker] = await open();
    proxy.latency(ms);
    broker.socket.pause();
    const total = 64 * MIB;
    for (const _ of range(total / 65_536)) client.socket.write(Buffer.alloc(65_536, 206));
    let last = total;
    // it flows until every buffer on the way is full
    await until('it stands', async () => {
      const before = last;
      await quiet(200);
      last = client.socket.writableLength;
      return last < total && last === before;
    });
    // what the system buffers on two connections, and the proxy's own megabyte
    expect(last).toBeGreaterThan(total / 2);
    broker.socket.resume();
    await until('all has come', () => broker.length === 8 + total);
    expect(broker.length).toBe(8 + total);
  });

  it('reset: both ends learn it as RST, and it is counted', async () => {
    const pairs = [await open(), await open()];
    expect(proxy.connections).toBe(2);
    expect(proxy.reset()).toBe(2);
    for (const [client, broker] of pairs) {
      await until('both are reset', () => client.error !== undefined && broker.error !== undefined);
      expect([client.error?.code, broker.error?.code]).toEqual(['ECONNRESET', 'ECONNRESET']);
    }
    await until('no connection is left', () => proxy.connections === 0);
    expect(proxy.resets).toBe(2);
    expect(proxy.reset()).toBe(0);
  });

  it('drop: both ends learn it as an end', async () => {
    const [client, broker] = await open();
    expect(proxy.drop()).toBe(1);
    await until('both have ended', () => client.hasEnded && broker.hasEnded);
    expect([client.error, broker.error, proxy.resets]).toEqual([undefined, undefined, 1]);
  });

  it.each(range(12))('resetMidFrame leaves an unfinished frame, whichever way it goes (%i)', async (n) => {
    const [client, broker] = await open();
    const frames = Buffer.concat(range(3).map((i) => rawFrame(BODY, 1, Buffer.alloc(n * 7 + i, 206))));
    const [from, to] = n % 2 === 0 ? [client, broker] : [broker, client];
    const before = to.length;
    // one that came before, in two pieces: frames are counted from the beginning
    from.socket.write(frames.subarray(0, 5));
    await quiet(5);
    from.socket.write(frames.subarray(5));
    await until('it has come', () => to.length === before + frames.length);
    const cutting = proxy.resetMidFrame();
    // no more than a heartbeat
    from.socket.write(rawFrame(8, 0, Buffer.alloc(0)));
    await quiet(20);
    expect(proxy.resets).toBe(0);
    from.socket.write(frames);
    expect(await bounded(cutting, 1_000, 'the cut')).toBe(1);
    await until('both are reset', () => client.error !== undefined && broker.error !== undefined);
    const part = to.bytes.subarray(before + frames.length + 8);
    const ends = [0, 1, 2].map((i) => range(i + 1).reduce((sum, k) => sum + n * 7 + k + 8, 0));
    expect(part.length).toBeGreaterThan(0);
    expect(part.length).toBeLessThan(frames.length);
    expect(ends).not.toContain(part.length);
    expect(part.equals(frames.subarray(0, part.length))).toBe(true);
    expect(proxy.resets).toBe(1);
  });

  it('resetMidFrame leaves an idle connection alone', async () => {
    const [client, broker] = await open();
    expect(await proxy.resetMidFrame(50)).toBe(0);
    client.socket.write('more than a heartbeat');
    await until('it has come', () => broker.length > 20);
    expect([proxy.connections, proxy.resets]).toEqual([1, 0]);
  });

  it.each(['to-broker', 'to-client', 'both'] as const)(
    'blackhole %s: swallows that way only, for good',
    async (which) => {
      const [client, broker] = await open();
      proxy.blackhole(which);
      const exchange = async (): Promise<void> => {
        client.socket.write('question');
        broker.socket.write('answer');
        await quiet(50);
      };
      await exchange();
      proxy.blackhole('none');
      await exchange();
      expect(broker.length - 8).toBe(which === 'to-client' ? 16 : 0);
      expect(client.length).toBe(which === 'to-broker' ? 12 : 0);
      expect(proxy.swallowed).toBe((which === 'to-client' ? 0 : 16) + (which === 'to-broker' ? 0 : 12));
      // an end is swallowed as bytes are
      client.socket.destroy();
      await quiet(50);
      expect(broker.hasEnded).toBe(which === 'to-client');
      expect(proxy.connections).toBe(0);
      const [next, served2] = await open();
      served2.socket.write('works');
      await until('a new connection works', () => next.bytes.toString() === 'works');
    },
  );

  it('refuse: new connections are reset, old ones go on', async () => {
    const [client, broker] = await open();
    proxy.refuse(true);
    const refused = new End(connect(proxy.port, '127.0.0.1'));
    await until('it is refused', () => refused.error !== undefined);
    expect([refused.error?.code, proxy.refused]).toEqual(['ECONNRESET', 1]);
    client.socket.write('!');
    await until('the old one works', () => broker.length === 9);
    proxy.refuse(false);
    await open();
    expect(proxy.connections).toBe(2);
  });
});
