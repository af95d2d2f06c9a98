import 'reflect-metadata';
import { randomInt } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { type INestApplicationContext, Injectable, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { type ConsumeMessage, connect } from 'amqplib';
import { type BusLogger, EventBusModule, type EventContext, OnEvent, type StandardSchema } from '../../lib/index.js';
import { RabbitMqNode } from '../fault/harness/rabbitmq-node.js';
import { Dice, malformed, type Order } from './malformed.js';
import { type Fate, fateOf, isOrder } from './oracle.js';
import { atLeast, atMost, type Figures, type Proof, type ProofOptions } from './proof.js';

const GROUP = 'fuzzed';
const EXCHANGE = 'fuzz';
/** Unconfirmed messages of the client that publishes. */
const WINDOW = 500;
const PREFETCH = 1_000;
const STALLED_MS = 30_000;
const PER_SECOND = 2_000;
/** In so short a time engine and broker are still warming up. */
const SHORT_PER_SECOND = 500;
/** After so many bytes the client that publishes waits for its confirms. */
const BURST_BYTES = 8_000_000;

/** What the handler is promised; written apart from the oracle. */
const schema: StandardSchema<Order> = {
  '~standard': {
    version: 1,
    vendor: 'proof',
    validate: (value) => {
      const { id, n, tags } = (value ?? {}) as Partial<Record<string, unknown>>;
      const wrong = [
        ...(typeof id === 'string' && id !== '' ? [] : ['id']),
        ...(Number.isFinite(n) ? [] : ['n']),
        ...(Array.isArray(tags) && !tags.some((tag) => typeof tag !== 'string') ? [] : ['tags']),
      ];
      return wrong.length === 0
        ? { value: value as Order }
        : { issues: wrong.map((name) => ({ message: 'is wrong', path: [name] })) };
    },
  },
};

/** What the bus did with what. */
class Witness {
  readonly handled = new Map<string, number>();
  readonly lines: string[] = [];
  invalidCalls = 0;
  crashes = 0;
  readonly logger: BusLogger = {
    log: (line) => void this.lines.push(line),
    warn: (line) => void this.lines.push(line),
    error: (line) => void this.lines.push(line),
  };
  private readonly onCrash = (): void => void this.crashes++;

  watch(): void {
    process.on('uncaughtException', this.onCrash).on('unhandledRejection', this.onCrash);
  }

  unwatch(): void {
    process.off('uncaughtException', this.onCrash).off('unhandledRejection', this.onCrash);
  }

  handle(payload: unknown, { message: { id } }: EventContext): void {
    if (!isOrder(payload) || 'admin' in {}) this.invalidCalls++;
    this.handled.set(id, (this.handled.get(id) ?? 0) + 1);
  }

  /** How often a connection or channel was lost. */
  get losses(): number {
    return this.lines.filter((line) => /is down|closed by the broker|consuming again/.test(line)).length;
  }
}

async function boot(url: string, witness: Witness): Promise<INestApplicationContext> {
  @Injectable()
  class Listener {
    @OnEvent('fuzz.*', { group: GROUP, prefetch: PREFETCH, concurrency: PREFETCH, retry: false, schema })
    on(payload: unknown, context: EventContext): void {
      witness.handle(payload, context);
    }
  }
  @Module({
    imports: [
      EventBusModule.forRoot({
        service: 'fuzz',
        exchange: EXCHANGE,
        transport: url,
        logger: witness.logger,
        consume: { maxConcurrency: PREFETCH },
      }),
    ],
    providers: [Listener],
  })
  class FuzzModule {}
  return NestFactory.createApplicationContext(FuzzModule, { logger: false, abortOnError: false });
}

/** A message that was published, by id: what has to become of it. */
type Sent = Map<string, { readonly kind: string; readonly fate: Fate }>;

const countDying = (sent: Sent): number => [...sent.values()].filter(({ fate }) => fate !== 'handled').length;

/** Publishes with a bare client until so many of all were malformed. */
async function publish(url: string, count: number, dice: Dice, sent: Sent, log: ProofOptions['log']): Promise<void> {
  const connection = await connect(url);
  try {
    const channel = await connection.createConfirmChannel();
    let dying = countDying(sent);
    let bytes = 0;
    while (dying < count) {
      const one = malformed(dice);
      const { kind, body, contentType, contentEncoding } = one;
      const fate = fateOf(one);
      if (fate !== 'handled') dying++;
      const messageId = `m-${sent.size}`;
      channel.publish(EXCHANGE, 'fuzz.one', body, { contentType, contentEncoding, messageId, persistent: true });
      sent.set(messageId, { kind, fate });
      bytes += body.length;
      if (sent.size % WINDOW === 0 || bytes > BURST_BYTES) {
        bytes = 0;
        await channel.waitForConfirms();
      }
      if (sent.size % 20_000 === 0) log(`${sent.size} published`);
    }
    await channel.waitForConfirms();
  } finally {
    await connection.close();
  }
}

/** Until so many are handled, and so many lie in the queue of the dead letters. @returns when that was */
async function finish(url: string, witness: Witness, handled: number, dead: number): Promise<number> {
  const connection = await connect(url);
  try {
    const channel = await connection.createChannel();
    let seen = -1;
    for (let since = Date.now(); Date.now() - since < STALLED_MS; await pause(5)) {
      const { messageCount } = await channel.checkQueue(`${GROUP}.dlq`);
      if (witness.handled.size >= handled && messageCount >= dead) return Date.now();
      if (witness.handled.size + messageCount !== seen) since = Date.now();
      seen = witness.handled.size + messageCount;
    }
    return Date.now();
  } finally {
    await connection.close();
  }
}

/** Until the broker has worked off what was acknowledged: of a channel that closes it forgets what it has not. */
async function untilSettled(node: RabbitMqNode): Promise<void> {
  const end = Date.now() + STALLED_MS;
  while (Date.now() < end) {
    const lines = (await node.ctl('list_queues', 'name', 'messages')).split('\n');
    if (lines.some((line) => line.trim() === `${GROUP}\t0`)) return;
  }
}

/** What is written beside each message in a queue that nobody else reads. */
async function readAll(url: string, queue: string): Promise<ReadonlyMap<string, ConsumeMessage>> {
  const letters = new Map<string, ConsumeMessage>();
  const connection = await connect(url);
  try {
    const channel = await connection.createChannel();
    const { messageCount } = await channel.checkQueue(queue);
    await new Promise<void>((resolve, reject) => {
      channel.on('error', reject);
      if (messageCount === 0) resolve();
      let count = 0;
      const onMessage = (message: ConsumeMessage | null): void => {
        if (!message) return;
        letters.set(String(message.properties.messageId), { ...message, content: Buffer.alloc(0) });
        if (++count === messageCount) resolve();
      };
      channel.consume(queue, onMessage, { noAck: true }).catch(reject);
    });
    return letters;
  } finally {
    await connection.close();
  }
}

async function run({ short, log }: ProofOptions): Promise<Figures> {
  const count = short ? 2_000 : 100_000;
  const seed = Number(process.env.SEED ?? randomInt(2 ** 31));
  log(`seed ${seed}`);
  const node = await RabbitMqNode.start();
  const witness = new Witness();
  witness.watch();
  try {
    const broker = await node.version();
    const app = await boot(node.url(), witness);
    const dice = new Dice(seed);
    const sent: Sent = new Map();
    const play = async (until: number): Promise<number> => {
      await publish(node.url(), until, dice, sent, log);
      return finish(node.url(), witness, sent.size - countDying(sent), countDying(sent));
    };
    // the first of them warm the engine up
    const began = await play(Math.floor(count / 5));
    const before = countDying(sent);
    const perSecond = ((count - before) / ((await play(count)) - began)) * 1_000;
    await untilSettled(node);
    await app.close();
    const [dead, left] = [await readAll(node.url(), `${GROUP}.dlq`), await readAll(node.url(), GROUP)];
    return judge({
      count,
      wanted: short ? SHORT_PER_SECOND : PER_SECOND,
      seed,
      broker,
      sent,
      dead,
      left: left.size,
      perSecond,
      witness,
    });
  } finally {
    witness.unwatch();
    await node.dispose();
  }
}

interface Outcome {
  readonly count: number;
  /** Dead letters per second. */
  readonly wanted: number;
  readonly seed: number;
  readonly broker: string;
  readonly sent: Sent;
  readonly dead: ReadonlyMap<string, ConsumeMessage>;
  readonly left: number;
  readonly perSecond: number;
  readonly witness: Witness;
}

function judge({ count, wanted, seed, broker, sent, dead, left, perSecond, witness }: Outcome): Figures {
  const reasons = new Map<string, number>();
  const kinds = new Map<string, number>();
  const wrong: string[] = [];
  let [malformedCount, unburied, unhandled, again] = [0, 0, 0, 0];
  for (const [id, { kind, fate }] of sent) {
    kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
    const calls = witness.handled.get(id) ?? 0;
    again += Math.max(0, calls - 1);
    if (fate === 'handled') {
      if (calls === 0 || dead.has(id)) unhandled++;
      continue;
    }
    malformedCount++;
    if (calls > 0) witness.invalidCalls++;
    const reason = dead.get(id)?.properties.headers?.['eb-reason'] as string | undefined;
    if (reason === undefined) unburied++;
    else {
      reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
      if (reason !== fate) wrong.push(`${kind}: ${reason}`);
    }
  }
  return {
    broker,
    figures: {
      seed,
      published: sent.size,
      malformed: malformedCount,
      'valid all the same': sent.size - malformedCount,
      ...Object.fromEntries([...reasons].map(([reason, times]) => [`dead-lettered as ${reason}`, times])),
      'with another reason': [...new Set(wrong)].join('; ') || 'none',
      kinds: JSON.stringify(Object.fromEntries(kinds)),
    },
    bars: {
      'malformed messages': atLeast(malformedCount, count),
      crashes: atMost(witness.crashes, 0),
      'connections or channels lost': atMost(witness.losses, 0),
      'handler calls with invalid data': atMost(witness.invalidCalls, 0),
      'malformed, not among the dead letters with a reason': atMost(unburied, 0),
      'dead-lettered for another reason than the oracle gives': atMost(wrong.length, 0),
      'valid, not handled': atMost(unhandled, 0),
      'handled more than once': atMost(again, 0),
      'left in the queue': atMost(left, 0),
      'dead-lettered per second': atLeast(Math.floor(perSecond), wanted),
    },
  };
}

export const fuzz: Proof = {
  name: 'fuzz',
  promise:
    'Bytes that are not what a handler asks for reach no handler: each such message is a dead letter with a reason, and every good one among them is handled.',
  limits:
    'Bodies and their content type and encoding, by a generator: kinds of damage that nobody has thought of are not in it. Publisher, bus and broker share the machine, and one process has publisher and bus.',
  run,
};
