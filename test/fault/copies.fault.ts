import 'reflect-metadata';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { type Channel, type ChannelModel, connect, type GetMessage } from 'amqplib';
import { EventBusService, type EventContext } from '../../lib/index.js';
import { Log } from '../../lib/testing/contract/log.js';
import { until } from '../../lib/testing/contract/until.js';
import { isReachable, RABBITMQ } from '../support/brokers.js';
import { type Lab, withLab } from '../support/lab.js';

const onRabbit = (await isReachable(RABBITMQ)) ? describe : describe.skip;

/** So long in a retry queue that a test can look at it there. */
const LONG_MS = 125_000;

let connection: ChannelModel;
let channel: Channel;

/** Everything that a broker or a library gives a meaning to. */
function hostile(victim: string): Record<string, unknown> {
  return {
    CC: [victim],
    BCC: [victim],
    cc: [victim],
    'x-death': [{ count: 9, reason: 'rejected', queue: victim, exchange: '', 'routing-keys': [victim] }],
    'x-first-death-queue': victim,
    'x-delivery-count': 19,
    'x-delay': 1,
    'x-match': 'any',
    'eb-topic': 'admin.delete',
    'eb-attempt': 900,
    'eb-deferrals': 99,
    'eb-reason': 'forged',
    'eb-error-message': 'forged',
    'eb-first-failed': 1,
    'eb-anything': 'forged',
    nested: { CC: [victim] },
    tenant: 'acme',
    n: 1.5,
  };
}

async function publishHostile(lab: Lab, victim: string, over: object = {}): Promise<void> {
  const options = {
    expiration: '600000',
    priority: 9,
    userId: 'guest',
    messageId: 'm-1',
    type: 'order',
    correlationId: 'c-1',
    replyTo: victim,
    appId: 'shop',
    contentType: 'application/json',
    timestamp: 1_700_000_000,
    headers: hostile(victim),
    ...over,
  };
  channel.publish(lab.exchange, 'orders.created', Buffer.from('{"n":1}'), options);
}

async function take(queue: string): Promise<GetMessage> {
  let message: GetMessage | false = false;
  await until(`a message is in ${queue}`, async () => {
    // a queue that is not there yet ends the channel
    const one = await connection.createChannel();
    one.on('error', () => undefined);
    message = await one.get(queue, { noAck: true }).catch(() => false as const);
    await one.close().catch(() => undefined);
    return message !== false;
  });
  return message as unknown as GetMessage;
}

/** What is there of properties and headers, without what is different each time. */
function contents({ properties, content }: GetMessage): Record<string, unknown> {
  const present = Object.entries(properties as object).filter(([, value]) => value !== undefined);
  expect(content.toString()).toBe('{"n":1}');
  const headers: Record<string, unknown> = { ...properties.headers };
  // the queue's own, not that of the sender
  if (headers['x-delivery-count'] === 0) delete headers['x-delivery-count'];
  for (const name of Object.keys(headers)) {
    if (/^eb-(first-failed|last-failed|error-stack)$/.test(name)) headers[name] = typeof headers[name];
  }
  return { ...Object.fromEntries(present), headers };
}

const CARRIED = {
  deliveryMode: 2,
  messageId: 'm-1',
  type: 'order',
  correlationId: 'c-1',
  appId: 'shop',
  contentType: 'application/json',
  timestamp: 1_700_000_000,
};
const OWN_HEADERS = { tenant: 'acme', n: 1.5 };

onRabbit('what a copy carries of a message', () => {
  beforeAll(async () => {
    connection = await connect(RABBITMQ.url);
    channel = await connection.createChannel();
  });

  afterAll(() => connection?.close());

  it(
    'is the message and nothing by which a broker or a bus would act: retry, dead letter, replay',
    withLab(RABBITMQ.url, async (lab) => {
      const { queue: victim } = await channel.assertQueue('', { exclusive: true });
      const group = lab.willRemoveGroup(`${lab.name}.group`);
      const seen = new Log<readonly [string, number, object]>('events');
      const { app, deadLetters } = await lab.boot();
      const bus = app.get(EventBusService);
      const retry = { delaysMs: [40, LONG_MS] };
      const fail = (_: unknown, { topic, attempt, headers }: EventContext): never => {
        seen.add([topic, attempt, { ...headers }]);
        throw new Error('no');
      };
      let subscription = await bus.subscribe('orders.*', fail, { group, retry });
      await publishHostile(lab, victim);
      const waiting = await take(`${group}.retry.${LONG_MS}`);
      expect(seen.items).toEqual([
        ['orders.created', 1, OWN_HEADERS],
        ['orders.created', 2, OWN_HEADERS],
      ]);
      expect(contents(waiting)).toEqual({
        ...CARRIED,
        replyTo: victim,
        headers: { ...OWN_HEADERS, 'eb-topic': 'orders.created', 'eb-attempt': 3, 'eb-first-failed': 'number' },
      });

      await subscription.cancel();
      subscription = await bus.subscribe('orders.*', fail, { group, retry: false });
      await publishHostile(lab, victim);
      await until('it is dead', async () => (await deadLetters.count(group)) === 1);
      const [letter] = await deadLetters.list(group);
      expect(letter).toMatchObject({ topic: 'orders.created', attempts: 1, reason: 'attempts-exhausted' });
      await subscription.cancel();
      expect(await deadLetters.replay(group)).toBe(1);
      expect(contents(await take(group))).toEqual({
        ...CARRIED,
        replyTo: victim,
        headers: { ...OWN_HEADERS, 'eb-topic': 'orders.created' }, // the first attempt again, which goes without saying
      });
      expect((await channel.checkQueue(victim)).messageCount).toBe(0);
    }),
    30_000,
  );

  it(
    'also where the broker itself has put it among the dead letters',
    withLab(RABBITMQ.url, async (lab) => {
      const { queue: victim } = await channel.assertQueue('', { exclusive: true });
      const group = lab.willRemoveGroup(`${lab.name}.group`);
      const { app, deadLetters } = await lab.boot();
      const bus = app.get(EventBusService);
      await (await bus.subscribe('orders.*', () => undefined, { group })).cancel();
      await publishHostile(lab, victim, { expiration: '1' });
      await until('the broker has given it up', async () => (await deadLetters.count(group)) === 1);
      const [letter] = await deadLetters.list(group);
      // what its sender wrote about itself is not believed
      expect(letter).toMatchObject({ attempts: 1 });
      expect(await deadLetters.replay(group)).toBe(1);
      const { headers } = contents(await take(group));
      expect(headers).toMatchObject(OWN_HEADERS);
      expect(headers).not.toHaveProperty('eb-attempt');
      expect((await channel.checkQueue(victim)).messageCount).toBe(0);
    }),
    30_000,
  );
});
