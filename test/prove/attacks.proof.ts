import { setTimeout as pause } from 'node:timers/promises';
import { type Channel, connect } from 'amqplib';
import { RabbitMqNode } from '../fault/harness/rabbitmq-node.js';
import { nestedHeader, prototypeHeader, publishRaw } from '../support/nested-headers.js';
import { BareConsumer } from './bare-consumer.js';
import { GuardedConsumer } from './guarded-consumer.js';
import { atLeast, atMost, type Bar, type Figures, type Proof, type ProofOptions } from './proof.js';

const QUIET_MS = 300;
const LIMIT_MS = 20_000;

/** Where messages are sent, whoever consumes there. */
export interface Aim {
  readonly url: string;
  readonly exchange: string;
  readonly routingKey: string;
  /** A queue of somebody else, which no message is meant for. */
  readonly victim: string;
}

/** What one consumer has seen, done and suffered. */
export interface Effects {
  /** Handler calls, good messages not among them. */
  calls: number;
  /** Those of them that did not fail. */
  successes: number;
  /** Calls in which a header that its sender had not set as such was there to be read. */
  inheritedHeaders: number;
  /** Calls with a topic that the message was not published to. */
  forgedTopics: number;
  /** Calls as another attempt than the first, of a message that had no other. */
  forgedAttempts: number;
  /** Calls whose payload, when it was copied as people do it, had a property that its sender put into its prototype. */
  mergedPrototypes: number;
  /** Calls that ended because what they were given cannot be written again. */
  unwritable: number;
  /** Connections that broke, and callbacks that failed outside of a handler. */
  breakdowns: number;
  /** Good messages that were handled. */
  good: number;
}

/** Somebody who consumes from a queue, with a handler that fails for what is marked to fail. */
export interface Consumer {
  readonly aim: Aim;
  readonly effects: Effects;
  /** How many messages lie in the queue of the dead letters. */
  countDead(): Promise<number>;
  close(): Promise<void>;
}

interface Attack {
  readonly name: string;
  /** How many effects it has had. */
  readonly effects: (consumer: Consumer, count: number) => Promise<number>;
  readonly send: (aim: Aim, count: number) => Promise<void>;
  /** No more of them are needed, or can be had. */
  readonly most?: number;
}

/** Publishes so many with the driver, as anybody can who may publish. */
async function publish(
  aim: Aim,
  count: number,
  body: string,
  headers: Readonly<Record<string, unknown>>,
): Promise<void> {
  const connection = await connect(aim.url);
  try {
    const channel = await connection.createConfirmChannel();
    for (let i = 0; i < count; i++) {
      channel.publish(aim.exchange, aim.routingKey, Buffer.from(body), { headers, messageId: `bad-${i}` });
    }
    await channel.waitForConfirms();
  } finally {
    await connection.close();
  }
}

async function withChannel<T>(url: string, work: (channel: Channel) => Promise<T>): Promise<T> {
  const connection = await connect(url);
  try {
    return await work(await connection.createChannel());
  } finally {
    await connection.close();
  }
}

const BODY = '{"kind":"bad"}';
const FAILING = '{"kind":"bad","fails":true}';
const FORGED_TOPIC = 'admin.delete.all';

const ATTACKS: readonly Attack[] = [
  {
    name: 'X1 a header __proto__ (headers that nobody sent are read)',
    send: async (aim, count) => {
      for (let i = 0; i < count; i++) {
        await publishRaw(aim.url, aim.exchange, aim.routingKey, prototypeHeader('isAdmin', 'yes'), { body: BODY });
      }
    },
    effects: async ({ effects }) => effects.inheritedHeaders,
  },
  {
    name: 'X2 headers nested 8,000 times (connections that break)',
    send: async (aim, count) => {
      for (let i = 0; i < count; i++) {
        await publishRaw(aim.url, aim.exchange, aim.routingKey, nestedHeader(), { body: BODY });
      }
    },
    effects: async ({ effects }) => effects.breakdowns,
    most: 5,
  },
  {
    name: 'X3 CC and BCC on what fails (messages in a queue of somebody else)',
    send: (aim, count) => publish(aim, count, FAILING, { CC: [aim.victim], BCC: [aim.victim] }),
    effects: ({ aim }) => withChannel(aim.url, async (channel) => (await channel.checkQueue(aim.victim)).messageCount),
  },
  {
    name: 'X4 a forged routing key (handler calls for a topic that it was not published to)',
    send: (aim, count) =>
      publish(aim, count, BODY, {
        'x-original-routing-key': FORGED_TOPIC,
        'eb-topic': FORGED_TOPIC,
        rascal: { restoreRoutingHeaders: true, originalRoutingKey: FORGED_TOPIC },
      }),
    effects: async ({ effects }) => effects.forgedTopics,
  },
  {
    name: 'X5 a forged count of deaths (messages that no handler has seen, or as another attempt)',
    send: (aim, count) =>
      publish(aim, count, BODY, {
        'x-death': [{ count: 99, queue: aim.routingKey, reason: 'rejected', exchange: '', 'routing-keys': ['x'] }],
        'x-delivery-count': 99,
        'eb-attempt': 99,
        'eb-deferrals': 99,
        'eb-reason': 'forged',
      }),
    effects: async ({ effects }, count) => Math.max(0, count - effects.calls) + effects.forgedAttempts,
  },
  {
    name: 'X5 a count of deaths that is a text (callbacks that fail, messages that no handler has seen)',
    send: (aim, count) => publish(aim, count, BODY, { 'x-death': 'never', 'eb-attempt': 'many', 'eb-deferrals': [1] }),
    effects: async ({ effects }, count) => effects.breakdowns + Math.max(0, count - effects.calls),
  },
  {
    name: 'X9 JSON with __proto__ (copies of a payload that have got a property)',
    send: (aim, count) => publish(aim, count, '{"kind":"bad","__proto__":{"isAdmin":true}}', {}),
    effects: async ({ effects }) => effects.mergedPrototypes,
  },
  {
    name: 'X9 JSON of 200,000 levels (payloads that kill what is done with them)',
    send: (aim, count) => publish(aim, count, `{"kind":"bad","more":${'['.repeat(200_000)}${']'.repeat(200_000)}}`, {}),
    effects: async ({ effects }) => effects.unwritable,
    most: 5,
  },
];

/** Until nothing changes any more, and a good message that was sent behind the others has come through. */
async function settle(consumer: Consumer): Promise<void> {
  const print = async (): Promise<string> => JSON.stringify([consumer.effects, await consumer.countDead()]);
  const end = Date.now() + LIMIT_MS;
  let [last, since] = [await print(), Date.now()];
  while (Date.now() - since < QUIET_MS && Date.now() < end) {
    await pause(20);
    const now = await print();
    if (now !== last) [last, since] = [now, Date.now()];
  }
}

/** Runs one attack against one consumer, which has a queue of its own. */
async function attack(consumer: Consumer, { send, effects }: Attack, count: number): Promise<number> {
  try {
    await send(consumer.aim, count);
    await publish(consumer.aim, 1, '{"kind":"good"}', {});
    await settle(consumer);
    return await effects(consumer, count);
  } finally {
    await consumer.close();
  }
}

async function run({ short, log }: ProofOptions): Promise<Figures> {
  const count = short ? 3 : 100;
  const node = await RabbitMqNode.start();
  try {
    const broker = await node.version();
    const figures: Record<string, string> = {};
    const bars: Record<string, Bar> = {};
    let [unhandled, unaccounted] = [0, 0];
    for (const [i, one] of ATTACKS.entries()) {
      const sent = Math.min(count, one.most ?? count);
      const onBare = await attack(await BareConsumer.start(node.url(), `bare-${i}`), one, sent);
      const bus = await GuardedConsumer.start(node.url(), `bus-${i}`);
      const onBus = await attack(bus, one, sent);
      unhandled += 1 - bus.effects.good;
      unaccounted += Math.abs(sent - bus.effects.successes - bus.dead);
      figures[`${one.name}: handled and dead-lettered by the bus`] =
        `${bus.effects.successes} and ${bus.dead} of ${sent}`;
      bars[`${one.name}: bare client`] = atLeast(onBare, 1);
      bars[`${one.name}: bus`] = atMost(onBus, 0);
      log(`${one.name}: ${onBare} on the bare client, ${onBus} on the bus`);
    }
    bars['messages of the attacks that the bus has not handled or dead-lettered once'] = atMost(unaccounted, 0);
    bars['good messages behind them that the bus has not handled'] = atMost(unhandled, 0);
    return { broker, figures, bars };
  } finally {
    await node.dispose();
  }
}

export const attacks: Proof = {
  name: 'attacks',
  promise:
    'What whoever may publish puts into headers and bodies chooses no route, no prototype and no attempt, and ends no connection.',
  limits:
    'The bare client is amqplib with a consumer as it is often written, which shows that each attack works; other consumers fall for others of them. Whoever may publish to the default exchange can write into any queue, and is believed.',
  run,
};
