import 'reflect-metadata';
import { describe, expect, it } from '@jest/globals';
import { Injectable } from '@nestjs/common';
import { TopicExchange } from '../../lib/exchanges/topic.exchange.js';
import {
  compressed,
  DeadLetterError,
  EVENT_BUS_TRANSPORT,
  type EventContext,
  encrypted,
  JsonSerializer,
  type Message,
  MsgpackSerializer,
  OnEvent,
  ProtobufSerializer,
  SERIALIZER_NAMES,
  type Serializer,
  type Transport,
} from '../../lib/index.js';
import { Log } from '../../lib/testing/contract/log.js';
import { createMessage } from '../../lib/testing/contract/message.factory.js';
import { until } from '../../lib/testing/contract/until.js';
import { isReachable, RABBITMQ } from '../support/brokers.js';
import { type Lab, type LabApp, withLab } from '../support/lab.js';

const reachable = await isReachable(RABBITMQ);
const transports = ['memory:', ...(reachable ? [RABBITMQ.url] : [])].map(
  (url) => [url.split(':', 1)[0] as string, url] as const,
);
const KEYS = { old: Buffer.alloc(32, 1), new: Buffer.alloc(32, 2) };
const json = new JsonSerializer();
const sealing = (activeKeyId: 'old' | 'new', inner: Serializer = json): Serializer =>
  encrypted(inner, { keys: KEYS, activeKeyId });

interface Seen {
  readonly payload: unknown;
  readonly attempt: number;
  readonly contentType: string;
}

interface Listening extends LabApp {
  readonly seen: Log<Seen>;
  readonly group: string;
  /** Sends what no publisher of ours would have sent. */
  readonly forge: (message: Message) => Promise<void>;
}

/** An application that handles `orders.#`, with one retry, and what it has seen. */
async function listening(
  lab: Lab,
  options: object,
  work: (context: EventContext) => void = () => undefined,
): Promise<Listening> {
  const seen = new Log<Seen>('events');
  const group = lab.willRemoveGroup(`${lab.name}.orders`);
  @Injectable()
  class OrderListener {
    @OnEvent('orders.#', { group, retry: { delaysMs: [20] } })
    on(payload: unknown, context: EventContext): void {
      seen.add({ payload, attempt: context.attempt, contentType: context.message.contentType });
      work(context);
    }
  }
  const app = await lab.boot({ providers: [OrderListener], options });
  const transport = app.app.get<Transport>(EVENT_BUS_TRANSPORT, { strict: false });
  const exchange = { name: lab.exchange, handler: new TopicExchange() };
  const forge = async (message: Message): Promise<void> => {
    await transport.publish({ kind: 'exchange', exchange }, message);
  };
  return { ...app, seen, group, forge };
}

const PAYLOADS: Readonly<Record<string, unknown>> = {
  json: { a: [1, 'x', null] },
  msgpack: { a: [1, new Date(5)], b: new Uint8Array([1]), c: 2n ** 60n },
  structured: { a: new Map([[1n, new Set([new Date(5)])]]), b: undefined, c: Buffer.of(1), d: [-0, Number.NaN] },
  text: 'größe',
  bytes: new Uint8Array([0, 255]),
};

describe.each(transports)('serializers on %s', (_, url) => {
  it.each([...SERIALIZER_NAMES])('%s by its name: a handler gets what was published', (name) =>
    withLab(url, async (lab) => {
      const { bus, seen } = await listening(lab, { serializer: name });
      const { routed } = await bus.publish('orders.created', PAYLOADS[name]);
      expect(routed).toBe(true);
      const [first] = await seen.settle(1);
      expect(first?.payload).toStrictEqual(PAYLOADS[name]);
    })(),
  );

  it(
    'protobuf: a message for each event; another payload is not published, another body is dead',
    withLab(url, async (lab) => {
      const source = 'syntax = "proto3"; package shop; message Order { string id = 1; int64 total = 2; }';
      const serializer = await ProtobufSerializer.load({ source, types: { 'orders.created': 'shop.Order' } });
      const { bus, seen, group, deadLetters, forge } = await listening(lab, { serializer });
      await bus.publish('orders.created', { id: 'o-1', total: 5 });
      expect((await seen.settle(1))[0]?.payload).toEqual({ id: 'o-1', total: 5n });
      await expect(bus.publish('orders.created', { id: 1 })).rejects.toMatchObject({ code: 'UNSERIALIZABLE' });
      await expect(bus.publish('orders.cancelled', {})).rejects.toMatchObject({ code: 'UNSERIALIZABLE' });
      const fields = { contentType: 'application/protobuf', body: Buffer.from('not protobuf') };
      await forge(createMessage('orders.created', fields));
      await forge(createMessage('orders.cancelled', { ...fields, body: Buffer.of() }));
      await until('both are dead', async () => (await deadLetters.count(group)) === 2);
      expect((await deadLetters.list(group)).map(({ reason }) => reason)).toEqual(['undecodable', 'undecodable']);
      expect(seen.length).toBe(1);
    }),
  );

  it(
    'a group receives json and msgpack side by side, under each of its names, and nothing else',
    withLab(url, async (lab) => {
      const msgpack = await MsgpackSerializer.load();
      const { bus, seen, forge, deadLetters, group } = await listening(lab, { accept: ['msgpack'] });
      await bus.publish('orders.created', { n: 1 });
      const body = msgpack.encode({ n: 2 });
      for (const contentType of ['application/vnd.msgpack', 'application/msgpack', 'application/x-msgpack'])
        await forge(createMessage('orders.created', { contentType, body }));
      expect((await seen.settle(4)).map(({ payload }) => payload).toSorted(byNumber)).toEqual([
        { n: 1 },
        { n: 2 },
        { n: 2 },
        { n: 2 },
      ]);
      await forge(createMessage('orders.created', { contentType: 'application/cbor', body }));
      await until('it is dead', async () => (await deadLetters.count(group)) === 1);
    }),
  );

  it(
    'what is packed is read by those who do not pack; a bomb is dead at the first attempt',
    withLab(url, async (lab) => {
      const { bus, seen, group, deadLetters, forge } = await listening(lab, { serializer: compressed(json) });
      const large = 'as before '.repeat(10_000);
      await bus.publish('orders.created', large);
      await forge(createMessage('orders.created', { contentType: json.contentType, body: json.encode('plain') }));
      expect(new Set((await seen.settle(2)).map(({ payload }) => payload))).toEqual(new Set([large, 'plain']));
      // packed it would be small enough, and nobody would unpack it
      await expect(bus.publish('orders.created', 'x'.repeat(1_100_000))).rejects.toMatchObject({
        code: 'MESSAGE_TOO_LARGE',
      });
      const { gzipSync } = await import('node:zlib');
      const bomb = { contentType: json.contentType, contentEncoding: 'gzip', body: gzipSync(Buffer.alloc(20_000_000)) };
      await forge(createMessage('orders.created', bomb));
      await until('the bomb is dead', async () => (await deadLetters.count(group)) === 1);
      const [letter] = await deadLetters.list(group);
      expect([letter?.reason, letter?.attempts]).toEqual(['undecodable', 1]);
      expect(letter?.error.message).toBe('The body has more than 1048576 bytes when it is unpacked.');
    }),
  );

  it(
    'what is encrypted can be read in every retry, in the list of dead letters, and when it is replayed',
    withLab(url, async (lab) => {
      let isBroken = true;
      const serializer = sealing('new', compressed(await MsgpackSerializer.load(), { minBytes: 0 }));
      const { bus, seen, group, deadLetters } = await listening(lab, { serializer }, ({ topic }) => {
        if (isBroken && topic === 'orders.created') throw new Error('as asked');
        if (isBroken) throw new DeadLetterError('as asked');
      });
      const payload = { id: 'o-1', note: 'as before '.repeat(100) };
      await bus.publish('orders.created', payload, { type: 'OrderCreated', key: 'o-1', expiresInMs: 600_000 });
      await bus.publish('orders.cancelled', payload);
      await until('both are dead', async () => (await deadLetters.count(group)) === 2);
      expect(seen.items.map(({ attempt }) => attempt).toSorted((a, b) => a - b)).toEqual([1, 1, 2]);
      const letters = await deadLetters.list(group);
      expect(letters.map((letter) => letter.payload)).toEqual([payload, payload]);
      for (const { body } of letters) expect(Buffer.from(body).includes('o-1')).toBe(false);
      isBroken = false;
      expect(await deadLetters.replay(group)).toBe(2);
      await until('both were replayed', () => seen.length === 5);
      expect(seen.items.every((item) => JSON.stringify(item.payload) === JSON.stringify(payload))).toBe(true);
      expect(await deadLetters.count(group)).toBe(0);
    }),
  );

  it(
    'a captured ciphertext has one effect on an idempotent handler, under its id or another',
    withLab(url, async (lab) => {
      const seen = new Log<Message>('events');
      const group = lab.willRemoveGroup(`${lab.name}.paid`);
      @Injectable()
      class Payments {
        @OnEvent('paid', { group, idempotent: true, retry: false })
        on(_: unknown, { message }: EventContext): void {
          seen.add(message);
        }
      }
      const serializer = sealing('new');
      const { app, bus, deadLetters } = await lab.boot({ providers: [Payments], options: { serializer } });
      const transport = app.get<Transport>(EVENT_BUS_TRANSPORT, { strict: false });
      const target = { kind: 'exchange', exchange: { name: lab.exchange, handler: new TopicExchange() } } as const;
      await bus.publish('paid', { amount: 100 });
      const [captured] = (await seen.settle(1)) as [Message];
      await transport.publish(target, captured);
      await transport.publish(target, { ...captured, id: 'again' });
      await transport.publish(target, { ...captured, id: 'again', source: 'boss' });
      await until('the other two are dead', async () => (await deadLetters.count(group)) === 2);
      await bus.publish('paid', { amount: 1 });
      expect((await seen.settle(2)).map(({ id }) => id === 'again')).toEqual([false, false]);
    }),
  );

  it(
    'keys rotate while messages are under way; what was encrypted with a key that is not there is dead',
    withLab(url, async (lab) => {
      const { seen, group, deadLetters, forge } = await listening(lab, { serializer: sealing('new') });
      await forge(sealed(sealing('old'), 'by the old key'));
      await forge(sealed(sealing('new'), 'by the new key'));
      const unknown = encrypted(json, { keys: { gone: Buffer.alloc(32, 3) }, activeKeyId: 'gone' });
      await forge(sealed(unknown, 'by a key that is gone'));
      expect(new Set((await seen.settle(2)).map(({ payload }) => payload))).toEqual(
        new Set(['by the new key', 'by the old key']),
      );
      await until('one is dead', async () => (await deadLetters.count(group)) === 1);
      const [letter] = await deadLetters.list(group);
      expect(letter).not.toHaveProperty('payload');
      expect(letter?.error.message).toBe('The body is encrypted with a key that is not known here.');
    }),
  );

  it(
    '67 forged and tampered ciphertexts are dead, and none is handled',
    withLab(url, async (lab) => {
      const { seen, group, deadLetters, forge } = await listening(lab, {
        serializer: sealing('new'),
        accept: ['msgpack'],
      });
      const forgeries = forged();
      expect(forgeries).toHaveLength(67);
      expect(new Set(forgeries.map(([name]) => name)).size).toBe(67);
      for (const [, message] of forgeries) await forge(message);
      await forge(sealed(sealing('new'), 'genuine'));
      await until('all are dead', async () => (await deadLetters.count(group)) === 67);
      const letters = await deadLetters.list(group);
      expect(letters.filter(({ reason, attempts }) => reason !== 'undecodable' || attempts !== 1)).toEqual([]);
      expect(new Set(letters.map(({ id }) => id))).toEqual(new Set(forgeries.map(([, { id }]) => id)));
      expect((await seen.settle(1)).map(({ payload }) => payload)).toEqual(['genuine']);
      for (const { error } of letters) expect(JSON.stringify(error)).not.toContain('c4n4ry');
      expect(lab.lines.join('\n')).not.toContain('c4n4ry');
    }),
  );
});

function byNumber(a: unknown, b: unknown): number {
  return (a as { readonly n: number }).n - (b as { readonly n: number }).n;
}

function sealed(
  serializer: Serializer,
  payload: unknown,
  topic = 'orders.created',
  fields: Partial<Message> = {},
): Message {
  const message = createMessage(topic, { type: 'order', contentType: serializer.contentType, ...fields });
  const encoded = serializer.encode(payload, message);
  return { ...message, ...(encoded instanceof Uint8Array ? { body: encoded } : encoded) };
}

/** Each from a genuine message of its own: 67 ways to make a handler get what was not published, or not so. */
function forged(): readonly (readonly [string, Message])[] {
  const genuine = (): Message => sealed(sealing('new'), { card: 'c4n4ry' });
  const all: (readonly [string, Message])[] = [];
  const add = (name: string, change: (message: Message) => Partial<Message>): void => {
    const message = genuine();
    all.push([name, { ...message, ...change(message) }]);
  };
  const body = (name: string, change: (bytes: Buffer) => Uint8Array): void =>
    add(name, (message) => ({ body: change(Buffer.from(message.body)) }));
  const flip =
    (at: number, mask: number) =>
    (bytes: Buffer): Buffer => {
      const index = at < 0 ? bytes.byteLength + at : at;
      bytes[index] = (bytes[index] ?? 0) ^ mask;
      return bytes;
    };
  // 1 version, 1 length, 3 key id, 12 nonce, ciphertext, 16 tag
  for (const [part, begin, end] of [
    ['version', 0, 1],
    ['length of the key id', 1, 2],
    ['key id', 2, 5],
    ['nonce', 5, 11],
    ['ciphertext', 17, 24],
    ['tag', -16, -10],
  ] as const) {
    for (let at: number = begin; at < end; at++) body(`a bit of the ${part}, byte ${at}`, flip(at, 1 << (at & 7)));
  }
  for (const size of [0, 1, 2, 5, 16, 17, 32, 33]) body(`cut to ${size} bytes`, (bytes) => bytes.subarray(0, size));
  body('without its last byte', (bytes) => bytes.subarray(0, -1));
  body('without its tag', (bytes) => bytes.subarray(0, -16));
  body('without its first byte', (bytes) => bytes.subarray(1));
  body('one byte longer', (bytes) => Buffer.concat([bytes, Buffer.of(0)]));
  body('twice', (bytes) => Buffer.concat([bytes, bytes]));
  body('backwards', (bytes) => bytes.toReversed());
  body('all zeros', (bytes) => Buffer.alloc(bytes.byteLength));
  body('the plaintext under its coding', () => json.encode({ card: 'c4n4ry' }));
  body('the ciphertext of another message', (bytes) => {
    const other = Buffer.from(genuine().body);
    return Buffer.concat([bytes.subarray(0, 17), other.subarray(17)]);
  });
  body('the tag of another message', (bytes) =>
    Buffer.concat([bytes.subarray(0, -16), Buffer.from(genuine().body).subarray(-16)]),
  );
  body('the nonce of another message', (bytes) =>
    Buffer.concat([bytes.subarray(0, 5), Buffer.from(genuine().body).subarray(5, 17), bytes.subarray(17)]),
  );
  body('the id of the other key', (bytes) => Buffer.concat([Buffer.of(2, 3), Buffer.from('old'), bytes.subarray(5)]));
  body('an id that nobody has', (bytes) => Buffer.concat([Buffer.of(2, 5), Buffer.from('proto'), bytes.subarray(5)]));
  body('an id that every object has', (bytes) =>
    Buffer.concat([Buffer.of(2, 9), Buffer.from('__proto__'), bytes.subarray(5)]),
  );
  body('no id', (bytes) => Buffer.concat([Buffer.of(2, 0), bytes.subarray(5)]));
  body('an id longer than the body', (bytes) => Buffer.concat([Buffer.of(2, 255), bytes.subarray(2)]));
  add('replayed under another topic', () => ({ topic: 'orders.refunded' }));
  add('replayed under a longer topic', () => ({ topic: 'orders.created.twice' }));
  add('another type', () => ({ type: 'refund' }));
  add('no type', () => ({ type: '' }));
  add('another id', ({ id }) => ({ id: `${id}-again` }));
  add('another source', () => ({ source: 'boss' }));
  add('another key', () => ({ key: 'other' }));
  add('another version', () => ({ version: 7 }));
  add('another content type that is read', () => ({ contentType: 'application/vnd.msgpack' }));
  add('no coding', (message) => plain(message));
  add('plaintext without a coding', (message) => ({ ...plain(message), body: json.encode({ card: 'c4n4ry' }) }));
  add('plaintext without coding and type', (message) => ({
    ...plain(message),
    contentType: '',
    body: json.encode('c4n4ry'),
  }));
  add('identity as its coding', () => ({ contentEncoding: 'identity' }));
  add('gzip as its coding', () => ({ contentEncoding: 'gzip' }));
  add('gzip before', () => ({ contentEncoding: 'gzip, aes256gcm' }));
  add('gzip behind', () => ({ contentEncoding: 'aes256gcm, gzip' }));
  add('a coding like it', () => ({ contentEncoding: 'aes128gcm' }));
  add('encrypted twice', (message) => ({ contentEncoding: `${message.contentEncoding}, aes256gcm` }));
  const stranger = encrypted(json, { keys: { new: Buffer.alloc(32, 9) }, activeKeyId: 'new' });
  all.push(['another key under the same id', sealed(stranger, { card: 'c4n4ry' })]);
  return all;
}

function plain(message: Message): Partial<Message> {
  return { ...message, contentEncoding: '' };
}
