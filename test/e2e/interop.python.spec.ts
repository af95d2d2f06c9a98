import 'reflect-metadata';
import { gunzipSync, gzipSync } from 'node:zlib';
import { describe, expect, it } from '@jest/globals';
import { Injectable, type Type } from '@nestjs/common';
import { type EventContext, JsonSerializer, OnEvent, type Serializer } from '../../lib/index.js';
import { Log } from '../../lib/testing/contract/log.js';
import { until } from '../../lib/testing/contract/until.js';
import { waitingIn } from '../fault/harness/by-hand.js';
import { hasPika, isReachable, RABBITMQ } from '../support/brokers.js';
import { type Lab, withLab } from '../support/lab.js';
import { python } from '../support/python.js';

/** One message for test/interop/publish.py. */
interface Sent {
  readonly topic: string;
  readonly body?: unknown;
  readonly base64?: string;
  readonly properties?: object;
}

interface Seen {
  readonly payload: unknown;
  readonly context: EventContext;
}

const { url } = RABBITMQ;
/** A Python starts first. */
const LIMIT_MS = 60_000;

const withPython = (await isReachable(RABBITMQ)) && (await hasPika()) ? describe : describe.skip;

const groupOf = (lab: Lab): string => `${lab.service}.Orders.on`;

function consumer(lab: Lab, seen: Log<Seen>, handle: (payload: unknown, attempt: number) => void = () => {}): Type {
  lab.willRemoveGroup(`${groupOf(lab)}.retry.20`);
  @Injectable()
  class Orders {
    @OnEvent('orders.*', { retry: { delaysMs: [20] } })
    on(payload: unknown, context: EventContext): void {
      seen.add({ payload, context });
      handle(payload, context.attempt);
    }
  }
  return Orders;
}

async function publish(lab: Lab, ...messages: readonly Sent[]): Promise<void> {
  const input = messages.map((message) => `${JSON.stringify(message)}\n`).join('');
  expect(await python(url, 'publish', [lab.exchange], input).ended()).toEqual([`published ${messages.length}`]);
}

const bytes = (body: string | Uint8Array): string => Buffer.from(body as string).toString('base64');

withPython('Python publishes to our groups', () => {
  it(
    'a JSON body is enough; what is missing has a neutral value, and what is there is understood',
    withLab(url, async (lab) => {
      const seen = new Log<Seen>('events');
      await lab.boot({ providers: [consumer(lab, seen)] });
      const properties = {
        content_type: 'Application/JSON; charset=utf-8',
        content_encoding: 'utf-8',
        message_id: 'py-1',
        timestamp: 1_700_000_000_123,
        type: 'order.created',
        app_id: 'billing',
        correlation_id: 'c-1',
        delivery_mode: 2,
        headers: { tenant: 'a', retries: 3, test: true, nothing: null, nested: { a: 1 }, list: [1] },
      };
      await publish(
        lab,
        { topic: 'orders.plain', body: { id: 7 } },
        { topic: 'orders.full', body: { id: 8 }, properties },
        { topic: 'orders.unicode', body: { name: 'Größe 🚲 \u2028 日本' } },
        { topic: 'orders.null', body: null },
        { topic: 'orders.large', body: 'x'.repeat(1_048_576 - 2) },
        { topic: 'orders.seconds', body: 1, properties: { timestamp: 1_700_000_000, content_type: '' } },
      );
      await seen.settle(6);
      const of = (topic: string): Seen => seen.items.find(({ context }) => context.topic === topic) as Seen;

      const plain = of('orders.plain');
      expect(plain.payload).toEqual({ id: 7 });
      expect(plain.context).toMatchObject({ attempt: 1, redelivered: false });
      expect(plain.context.message).toMatchObject({ id: '', type: '', contentType: '', timestamp: 0 });
      expect(plain.context.message.source).toBeUndefined();
      expect(Object.keys(plain.context.headers)).toEqual([]);

      const full = of('orders.full');
      expect(full.payload).toEqual({ id: 8 });
      expect(full.context.message).toMatchObject({
        id: 'py-1',
        type: 'order.created',
        timestamp: 1_700_000_000_123,
        source: 'billing',
        correlationId: 'c-1',
      });
      expect({ ...full.context.headers }).toEqual({ tenant: 'a', retries: 3, test: true });

      expect(of('orders.unicode').payload).toEqual({ name: 'Größe 🚲 \u2028 日本' });
      expect(of('orders.null').payload).toBeNull();
      expect(of('orders.large').payload).toHaveLength(1_048_574);
      expect(of('orders.seconds').context.message.timestamp).toBe(1_700_000_000_000);
    }),
    LIMIT_MS,
  );

  it(
    'one that fails is retried, dead-lettered as it was sent, and replayed',
    withLab(url, async (lab) => {
      const seen = new Log<Seen>('events');
      let isBroken = true;
      const { deadLetters } = await lab.boot({
        providers: [
          consumer(lab, seen, (payload, attempt) => {
            if (payload === 'fails' && isBroken) throw new Error('as asked');
            if (payload === 'once' && attempt === 1) throw new Error('the first time');
          }),
        ],
      });
      await publish(lab, { topic: 'orders.a', body: 'once' }, { topic: 'orders.b', body: 'fails' });
      await until('one is dead', async () => (await deadLetters.count(groupOf(lab))) === 1);
      await seen.settle(4);
      const [letter] = await deadLetters.list(groupOf(lab));
      expect(letter).toMatchObject({ id: '', topic: 'orders.b', payload: 'fails', attempts: 2 });
      expect(letter).toMatchObject({ reason: 'attempts-exhausted', error: { message: 'as asked' } });
      isBroken = false;
      expect(await deadLetters.replay(groupOf(lab))).toBe(1);
      await seen.settle(5);
      expect(seen.items[4]).toMatchObject({ payload: 'fails', context: { topic: 'orders.b', attempt: 1 } });
      expect(await deadLetters.count(groupOf(lab))).toBe(0);
    }),
    LIMIT_MS,
  );

  it(
    'a body that is not what it says, or more than we take, is dead at once with its bytes, and stops nobody',
    withLab(url, async (lab) => {
      const seen = new Log<Seen>('events');
      const { deadLetters } = await lab.boot({ providers: [consumer(lab, seen)] });
      const json = '{"id":7}';
      const bad: readonly Sent[] = [
        { topic: 'orders.empty', base64: '' },
        { topic: 'orders.text', base64: bytes('hello') },
        { topic: 'orders.latin', base64: bytes(Uint8Array.of(0x22, 0xe9, 0x22)) },
        { topic: 'orders.large', base64: bytes('x'.repeat(1_048_577)) },
        { topic: 'orders.gzip', base64: bytes(gzipSync(json)), properties: { content_encoding: 'gzip' } },
        { topic: 'orders.pickle', base64: bytes(json), properties: { content_type: 'application/x-python-pickle' } },
      ];
      await publish(lab, ...bad, { topic: 'orders.good', body: 1 });
      await until('they are dead', async () => (await deadLetters.count(groupOf(lab))) === bad.length);
      expect((await seen.settle(1)).map(({ payload }) => payload)).toEqual([1]);
      const letters = new Map((await deadLetters.list(groupOf(lab))).map((letter) => [letter.topic, letter]));
      for (const { topic, base64 } of bad) {
        const letter = letters.get(topic);
        expect(letter).toMatchObject({ reason: 'undecodable', attempts: 1 });
        expect(bytes(letter?.body as Uint8Array)).toBe(base64);
      }
      expect(letters.get('orders.gzip')?.error.message).toMatch(/content encoding is not one/);
    }),
    LIMIT_MS,
  );

  it(
    'gzip, where it is accepted, comes to the same handler as plain JSON',
    withLab(url, async (lab) => {
      const json = new JsonSerializer();
      const zipped: Serializer = {
        contentType: 'application/json',
        contentEncodings: ['gzip'],
        encode: (payload) => ({ body: gzipSync(json.encode(payload)), contentEncoding: 'gzip' }),
        decode: (body) => json.decode(gunzipSync(body, { maxOutputLength: 1_048_576 })),
      };
      const seen = new Log<Seen>('events');
      await lab.boot({ options: { accept: [zipped] }, providers: [consumer(lab, seen)] });
      const properties = { content_type: 'application/json', content_encoding: 'GZIP' };
      await publish(
        lab,
        { topic: 'orders.a', base64: bytes(gzipSync('{"id":7}')), properties },
        { topic: 'orders.b', body: { id: 8 } },
      );
      await seen.settle(2);
      expect(seen.items.map(({ payload }) => payload)).toEqual(expect.arrayContaining([{ id: 7 }, { id: 8 }]));
    }),
    LIMIT_MS,
  );
});

withPython('Python consumes what we publish', () => {
  it(
    'on a queue of its own, bound to our exchange: plain JSON, and the documented properties',
    withLab(url, async (lab) => {
      const { bus } = await lab.boot();
      const program = python(url, 'consume', [lab.exchange, 'orders.*', '3']);
      await program.lines.reach(1, LIMIT_MS);
      const before = Math.floor(Date.now() / 1_000);
      const id = (await bus.publish('orders.created', { name: 'Größe 🚲' })).id;
      await bus.publish('users.created', 'not for it', { unroutable: 'ignore' });
      await bus.publish('orders.paid', [1, null, true], {
        id: 'ours-1',
        type: 'order.paid',
        headers: { tenant: 'a', retries: 3, test: true },
        correlationId: 'c-1',
        causationId: 'm-0',
        key: 'k',
        expiresInMs: 60_000,
      });
      await bus.publish('orders.large', 'x'.repeat(1_048_574));
      const [ready, ...lines] = await program.ended();
      expect(ready).toBe('ready');
      const [first, second, third] = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
      expect(first).toEqual({
        topic: 'orders.created',
        payload: { name: 'Größe 🚲' },
        id,
        type: null,
        service: lab.service,
        time: expect.any(Number),
        content_type: 'application/json',
        content_encoding: null,
        correlation_id: null,
        delivery_mode: 2,
        headers: {},
      });
      expect(first?.time).toBeGreaterThanOrEqual(before);
      expect(first?.time).toBeLessThanOrEqual(Date.now() / 1_000);
      expect(second).toMatchObject({
        topic: 'orders.paid',
        payload: [1, null, true],
        id: 'ours-1',
        type: 'order.paid',
        correlation_id: 'c-1',
      });
      expect(second?.headers).toEqual({
        tenant: 'a',
        retries: 3,
        test: true,
        'eb-key': 'k',
        'eb-causation': 'm-0',
        'eb-expires': expect.any(Number),
      });
      expect(third?.payload).toHaveLength(1_048_574);
    }),
    LIMIT_MS,
  );

  it(
    'from the queue of a group: what it acknowledges is done, what it rejects is a dead letter of the group',
    withLab(url, async (lab) => {
      const seen = new Log<Seen>('events');
      const off = { consume: { enabled: false } };
      const { app, bus, deadLetters } = await lab.boot({ options: off, providers: [consumer(lab, seen)] });
      for (const payload of [{ n: 1 }, { fail: true }, { n: 2 }]) {
        expect(await bus.publish('orders.created', payload)).toMatchObject({ routed: true });
      }
      const program = python(url, 'work', [groupOf(lab), '3']);
      expect((await program.ended()).map((line) => JSON.parse(line) as unknown)).toEqual([
        { n: 1 },
        { fail: true },
        { n: 2 },
      ]);
      await until('one is dead', async () => (await deadLetters.count(groupOf(lab))) === 1);
      await until('its queue is empty', async () => (await waitingIn(url, groupOf(lab))) === 0);
      expect(await deadLetters.list(groupOf(lab))).toMatchObject([
        { topic: 'orders.created', payload: { fail: true }, reason: 'rejected' },
      ]);
      await app.close();

      // and back: a process of ours takes over
      const second = await lab.boot({ providers: [consumer(lab, seen)] });
      expect(await second.deadLetters.replay(groupOf(lab))).toBe(1);
      expect((await seen.settle(1))[0]).toMatchObject({ payload: { fail: true }, context: { attempt: 1 } });
    }),
    LIMIT_MS,
  );
});
