import { once } from 'node:events';
import { createServer, type Server } from 'node:net';

/**
 * Below the range from which a system takes ports for outgoing connections: a client that tries such a port again and
 * again while nobody listens would one day be given it as its own, connect to itself, and keep the broker from it.
 */
const FIRST = 20_000;
const LAST = 32_000;
const TRIES = 200;

/** Ports of 127.0.0.1 on which nothing listens, all different. */
export async function freePorts(count: number): Promise<readonly number[]> {
  const taken: Server[] = [];
  const ports: number[] = [];
  for (let i = 0; i < TRIES && ports.length < count; i++) {
    const port = FIRST + Math.floor(Math.random() * (LAST - FIRST));
    const server = createServer();
    try {
      server.listen(port, '127.0.0.1');
      await once(server, 'listening');
      taken.push(server);
      ports.push(port);
    } catch {
      // in use: another one
    }
  }
  for (const server of taken) server.close();
  if (ports.length < count) throw new Error(`No ${count} free ports between ${FIRST} and ${LAST}.`);
  return ports;
}
