import { connect } from 'node:net';

/** A broker that specs run against. */
export interface Broker {
  readonly name: string;
  /** With credentials: never print it. */
  readonly url: string;
  /** How to get one. */
  readonly start: string;
}

export const RABBITMQ: Broker = {
  name: 'RabbitMQ',
  url: process.env.EVENT_BUS_TEST_URL ?? 'amqp://guest:guest@127.0.0.1:5672',
  start: 'docker run --rm -p 5672:5672 rabbitmq:4',
};

const CONNECT_MS = 2_000;

/**
 * Whether the broker can be used. When it cannot, this is an error with REQUIRE_BROKERS=1, and else one line that says
 * what is not tested and how to change that.
 */
export async function isReachable({ name, url, start }: Broker): Promise<boolean> {
  const { hostname, port, protocol } = new URL(url);
  const number = port === '' ? (protocol === 'amqps:' ? 5_671 : 5_672) : Number(port);
  if (await answers(hostname, number)) return true;
  const missing = `${name} does not answer on ${hostname}:${number}`;
  if (process.env.REQUIRE_BROKERS === '1') throw new Error(`${missing}, and REQUIRE_BROKERS=1 asks for it.`);
  process.stderr.write(`SKIPPED everything on ${name}: ${missing}. Start one: ${start}\n`);
  return false;
}

function answers(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    const end = (answer: boolean) => (): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(answer);
    };
    const timer = setTimeout(end(false), CONNECT_MS);
    socket.once('connect', end(true)).once('error', end(false));
  });
}
