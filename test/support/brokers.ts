import { execFile } from 'node:child_process';
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

/** The system's own: packages of Debian are for this one, whatever else comes first in PATH. */
export const PYTHON = process.env.EVENT_BUS_TEST_PYTHON ?? '/usr/bin/python3';

const CONNECT_MS = 2_000;
/** A first import compiles the package. */
const IMPORT_MS = 20_000;

/** Tells the workers what was found before they began: so the broker is asked, and the line written, once. */
const FOUND = 'EVENT_BUS_TEST_BROKER';
const FOUND_PIKA = 'EVENT_BUS_TEST_PIKA';

/** Whether the broker can be used. When it cannot, this is an error with REQUIRE_BROKERS=1. */
export async function isReachable({ name, url }: Broker): Promise<boolean> {
  const isFound = process.env[FOUND] === undefined ? await isUp(url) : process.env[FOUND] === 'up';
  if (!isFound && process.env.REQUIRE_BROKERS === '1') {
    throw new Error(`${name} does not answer on ${new URL(url).host}, and REQUIRE_BROKERS=1 asks for it.`);
  }
  return isFound;
}

/** Whether there is a Python with a client for RabbitMQ. When there is none, this is an error with REQUIRE_BROKERS=1. */
export async function hasPika(): Promise<boolean> {
  const isFound = process.env[FOUND_PIKA] === undefined ? await canImportPika() : process.env[FOUND_PIKA] === 'yes';
  if (!isFound && process.env.REQUIRE_BROKERS === '1') {
    throw new Error(`${PYTHON} has no module "pika", and REQUIRE_BROKERS=1 asks for it: apt-get install python3-pika.`);
  }
  return isFound;
}

/** Jest's global set-up: one line that says what is not tested, and how to change that. */
export default async function announce(): Promise<void> {
  const { name, url, start } = RABBITMQ;
  const [isFound, isPikaFound] = await Promise.all([isUp(url), canImportPika()]);
  process.env[FOUND] = isFound ? 'up' : 'missing';
  process.env[FOUND_PIKA] = isPikaFound ? 'yes' : 'no';
  if (process.env.REQUIRE_BROKERS === '1') return;
  const missing = `${name} does not answer on ${new URL(url).host}`;
  if (!isFound) process.stderr.write(`SKIPPED everything on ${name}: ${missing}. Start one: ${start}\n`);
  if (!isPikaFound) process.stderr.write('SKIPPED everything with Python. Install: apt-get install python3-pika\n');
}

function canImportPika(): Promise<boolean> {
  return new Promise((resolve) => {
    execFile(PYTHON, ['-c', 'import pika'], { timeout: IMPORT_MS }, (error) => resolve(error === null));
  });
}

function isUp(url: string): Promise<boolean> {
  const { hostname, port, protocol } = new URL(url);
  return answers(hostname, port === '' ? (protocol === 'amqps:' ? 5_671 : 5_672) : Number(port));
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
