import { afterEach, beforeEach, expect, it } from '@jest/globals';
import { type ConfirmChannel, connect, type Options } from 'amqplib';
import { MessageDecoder } from '../../lib/bus/message-decoder.js';
import type { Transport } from '../../lib/core/transport.js';
import { DeadLetterService } from '../../lib/index.js';
import { JsonSerializer } from '../../lib/serializers/json.serializer.js';
import { Bench } from '../../lib/testing/contract/bench.js';
import { listen } from '../../lib/testing/contract/listener.js';
import { until } from '../../lib/testing/contract/until.js';
import { createRabbitMqHarness } from '../support/rabbitmq.harness.js';
import { byHand } from './harness/by-hand.js';
import { OwnBroker } from './harness/own-broker.js';

// of its own: RabbitMQ 3.10 itself does not survive every x-death that a publisher can send
const own = new OwnBroker();

/** What only the library itself may say. */
const FORGED = {
  'eb-reason': 'forged-reason',
  'eb-topic': 'forged.topic',
  'eb-attempt': 999,
  'eb-deferrals': 50,
  'eb-error-name': 'ForgedError',
  'eb-error-message': 'forged message',
  'eb-error-stack': 'forged stack',
  'eb-first-failed': 1,
  'eb-last-failed': 2,
};

own.suite('a dead letter that the broker made', () => {
  let bench: Bench;
  let transport: Transport;
  let deadLetters: DeadLetterService;
  let group: string;
  let began: number;

  beforeEach(async () => {
    bench = new Bench(await createRabbitMqHarness(own.node.url()));
    const source = bench.shared();
    group = bench.group();
    transport = await bench.open(source);
    deadLetters = new DeadLetterService(
      transport.deadLetters,
      new MessageDecoder([new JsonSerializer()]),
      (name) => name,
    );
    began = Math.floor(Date.now() / 1_000) * 1_000;
  });

  afterEach(() => bench.dispose());

  const publish = (exchange: string, key: string, options: Options.Publish = {}): Promise<void> =>
    confirmed((channel) => channel.publish(exchange, key, Buffer.from('{"n":1}'), options));

  const inDlq = (count: number): Promise<void> =>
    until(`${count} dead letters`, async () => (await deadLetters.count(group)) === count);

  /** As a foreign consumer does. */
  const reject = (): Promise<void> =>
    byHand(own.node.url(), async (channel) => {
      let message = await channel.get(group);
      while (message === false) message = await channel.get(group);
      channel.reject(message, false);
      await channel.checkQueue(group); // a connection that closes at once takes it back
    });

  /** Every letter tells when, and not before the test began. */
  const when = { firstFailedAt: expect.any(Number), lastFailedAt: expect.any(Number) };

  it('after the delivery limit: its reason, in words, its topic and time', async () => {
    await publish(bench.exchange.name, 'order.placed', { messageId: 'm-1', contentType: 'application/json' });
    await byHand(own.node.url(), async (channel) => {
      for (;;) {
        const message = await channel.get(group);
        if (message) channel.nack(message, false, true);
        else if ((await deadLetters.count(group)) === 1) return;
      }
    });
    const [letter] = await deadLetters.list(group);
    expect(letter).toMatchObject({
      id: 'm-1',
      topic: 'order.placed',
      group,
      payload: { n: 1 },
      reason: 'delivery-limit',
      error: { name: 'DeliveryLimit', message: expect.stringContaining('as often as the delivery limit') },
      attempts: 1,
      ...when,
    });
    expect(letter?.firstFailedAt).toBeGreaterThanOrEqual(began);
    expect(letter?.lastFailedAt).toBeLessThanOrEqual(Date.now());
  });

  it('of a foreign message that expired', async () => {
    await publish(bench.exchange.name, 'order.placed', { expiration: '1' });
    await inDlq(1);
    expect(await deadLetters.list(group)).toMatchObject([
      { id: '', topic: 'order.placed', reason: 'expired', error: { name: 'Expired' }, attempts: 1, ...when },
    ]);
  });

  it('of a message that a foreign consumer rejected', async () => {
    await publish(bench.exchange.name, 'order.placed', { messageId: 'm-1' });
    await reject();
    await inDlq(1);
    expect(await deadLetters.list(group)).toMatchObject([
      { id: 'm-1', topic: 'order.placed', reason: 'rejected', error: { name: 'Rejected' }, attempts: 1, ...when },
    ]);
  });

  it('believes no internal header of a message that was published to an exchange', async () => {
    await publish(bench.exchange.name, 'order.placed', { messageId: 'm-1', headers: { ...FORGED, tenant: 'acme' } });
    await reject();
    await inDlq(1);
    const [letter] = await deadLetters.list(group);
    expect(letter).toMatchObject({
      topic: 'order.placed',
      reason: 'rejected',
      attempts: 1,
      error: { name: 'Rejected' },
    });
    expect({ ...letter?.headers }).toEqual({ tenant: 'acme' });
    expect(letter?.firstFailedAt).toBeGreaterThanOrEqual(began);
    expect(JSON.stringify(letter)).not.toContain('orged');
  });

  it('believes topic, attempts and first failure of a copy for the group, but not why it is dead', async () => {
    const firstFailedAt = began - 60_123;
    const headers = { ...FORGED, 'eb-topic': 'order.placed', 'eb-attempt': 3, 'eb-first-failed': firstFailedAt };
    await publish('', group, { messageId: 'm-1', headers });
    await reject();
    await inDlq(1);
    const [letter] = await deadLetters.list(group);
    expect(letter).toMatchObject({
      topic: 'order.placed',
      reason: 'rejected',
      attempts: 3,
      error: { name: 'Rejected' },
      firstFailedAt,
    });
    expect(letter?.lastFailedAt).toBeGreaterThanOrEqual(began);
  });

  const row = { queue: 'other', reason: 'expired', exchange: '', 'routing-keys': ['forged.key'], count: 7 };

  it.each<[string, unknown]>([
    ['a text', 'x-death'],
    ['a number', 7],
    ['no rows', []],
    ['a row of another queue', [row]],
    ['hundreds of rows', Array.from({ length: 400 }, (_, i) => ({ ...row, queue: `other-${i}` }))],
    ['rows of the wrong types', [{ queue: 1, reason: ['rejected'], exchange: 7, 'routing-keys': 'k', time: 'now' }]],
  ])('with a forged x-death (%s) is the one that it is', async (_, death) => {
    await publish(bench.exchange.name, 'order.placed', { headers: { ...FORGED, 'x-death': death } });
    await reject();
    await inDlq(1);
    const letters = await deadLetters.list(group);
    expect(letters).toMatchObject([{ topic: 'order.placed', reason: 'rejected', attempts: 1, ...when }]);
    expect(JSON.stringify(letters)).not.toContain('orged');
    expect(await deadLetters.replay(group, { limit: 1 })).toBe(1);
  });

  it('is read whatever somebody has put straight into the queue of dead letters', async () => {
    const long = 'x'.repeat(20_000);
    const deaths: unknown[] = ['x', [], [{}], [{ reason: 'constructor', exchange: '__proto__' }], [{ reason: long }]];
    const all = [...deaths.map((death) => ({ 'x-death': death })), { 'eb-reason': long, 'eb-error-name': long }, {}];
    for (const headers of all) await publish('', `${group}.dlq`, { headers });
    const letters = await deadLetters.list(group);
    expect(letters).toHaveLength(all.length);
    for (const { reason, error, attempts } of letters) {
      expect(attempts).toBe(1);
      expect(Buffer.byteLength(reason)).toBeLessThanOrEqual(255);
      expect(Buffer.byteLength(error.name)).toBeLessThanOrEqual(255);
    }
    expect(letters.map(({ reason }) => reason.slice(0, 7))).toEqual([
      ...deaths.map(() => 'unknown'),
      // too long to be believed
      'unknown',
      'unknown',
    ]);
  });

  it('without an id is replayed by limit and with all, to the group, as its first attempt', async () => {
    for (const n of [1, 2]) await publish(bench.exchange.name, `order.${n}`, { expiration: '1', headers: { n } });
    await inDlq(2);
    const { deliveries } = await listen(transport, bench.shared());
    expect(await deadLetters.replay(group, { limit: 1 })).toBe(1);
    expect(await deadLetters.replay(group)).toBe(1);
    await deliveries.settle(2);
    const seen = deliveries.items.map(({ message, attempt }) => [message.topic, message.headers.n, attempt]);
    expect(seen).toEqual([
      ['order.1', 1, 1],
      ['order.2', 2, 1],
    ]);
    expect(await deadLetters.count(group)).toBe(0);
  });
});

async function confirmed(work: (channel: ConfirmChannel) => void): Promise<void> {
  const connection = await connect(own.node.url());
  try {
    const channel = await connection.createConfirmChannel();
    work(channel);
    await channel.waitForConfirms();
  } finally {
    await connection.close();
  }
}
