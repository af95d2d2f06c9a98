import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import type { ConsumeMessage } from 'amqplib';
import fc from 'fast-check';
import { NO_HEADERS } from '../../../../lib/core/headers.js';
import { LIMITS } from '../../../../lib/core/limits.js';
import type { Message } from '../../../../lib/core/message.js';
import { requestIdOf } from '../../../../lib/rpc/rpc.wire.js';
import {
  attemptOf,
  type CopyState,
  defectOf,
  deferralsOf,
  FIRST_ATTEMPT,
  firstFailedAtOf,
  missesOf,
  returnsOf,
  toMessage,
  toProperties,
} from '../../../../lib/transports/rabbitmq/rabbitmq.codec.js';
import { toDeadLetter } from '../../../../lib/transports/rabbitmq/rabbitmq.dead-letter.codec.js';

interface DriverCodec {
  encodeProperties(id: number, channel: number, size: number, fields: object): Buffer;
  decode(id: number, bytes: Buffer): Record<string, unknown>;
}

// not one of the paths that the driver exports
const require = createRequire(import.meta.url);
const driver = require(join(dirname(require.resolve('amqplib')), 'lib/defs.js')) as DriverCodec;
const BASIC = 60;

interface Parts {
  readonly headers?: object;
  readonly exchange?: string;
  readonly redelivered?: boolean;
  readonly routingKey?: string;
  readonly properties?: object;
}

function received({ headers, exchange = 'events', redelivered = false, routingKey = 'a.b', properties }: Parts = {}) {
  return {
    content: Buffer.from('1'),
    properties: { ...properties, headers },
    fields: { consumerTag: 't', deliveryTag: 1, redelivered, exchange, routingKey },
  } as unknown as ConsumeMessage;
}

/** As it would come back from a queue of this library. */
function sentBy(received: ConsumeMessage, state: CopyState): ConsumeMessage {
  const bytes = driver.encodeProperties(BASIC, 1, 1, toProperties(toMessage(received), state));
  // behind type, channel, size, class, weight and the size of the body
  const properties = driver.decode(BASIC, bytes.subarray(19, -1));
  return {
    ...received,
    properties,
    fields: { ...received.fields, exchange: '', routingKey: 'group' },
  } as unknown as ConsumeMessage;
}

const FORGED = {
  'eb-topic': 'admin.delete',
  'eb-attempt': 7,
  'eb-deferrals': 99,
  'eb-misses': 8,
  'eb-first-failed': 1,
};
const WORST: CopyState = {
  attempt: LIMITS.attempt,
  deferrals: LIMITS.deferrals,
  misses: LIMITS.attempt,
  dueAt: Number.MAX_SAFE_INTEGER,
  firstFailedAt: Number.MIN_SAFE_INTEGER,
  lastFailedAt: Number.MAX_SAFE_INTEGER,
  reason: 'attempts-exhausted',
  failure: {
    name: 'n'.repeat(255),
    message: 'm'.repeat(LIMITS.errorMessageBytes),
    stack: 's'.repeat(LIMITS.errorStackBytes),
  },
};

/** What short strings of any bytes are when the driver has read them. */
const shortText = fc
  .oneof(fc.uint8Array({ maxLength: 255 }), fc.constant(new Uint8Array(255).fill(0xff)))
  .map((bytes) => Buffer.from(bytes).toString());
const longText = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 60 }),
  fc.constantFrom('é'.repeat(5_000), '\ufffd'.repeat(20_000), 'x'.repeat(60_000)),
);
const field = fc.oneof(
  longText,
  fc.boolean(),
  // the driver has no other zero
  fc.double().filter((value) => !Object.is(value, -0)),
  fc.integer(),
  fc.constantFrom(null, Number.MAX_VALUE, -(2 ** 63), 2 ** 60, Buffer.from('x'), [1, [2]], { '!': 'decimal' }),
  fc.dictionary(shortText, fc.anything(), { maxKeys: 3 }),
);
const ownName = fc
  .constantFrom(
    ...[
      'version',
      'key',
      'causation',
      'depth',
      'credit',
      'expires',
      'due',
      'topic',
      'attempt',
      'deferrals',
      'first-failed',
      'reason',
    ],
    ...['last-failed', 'error-name', 'error-message', 'error-stack', 'unreadable', 'anything'],
  )
  .map((name) => `eb-${name}`);
const brokerName = fc.constantFrom('CC', 'BCC', 'x-death', 'x-delivery-count', '__proto__', 'constructor');
const inbound = fc.record({
  headers: fc.option(
    fc
      .array(fc.tuple(fc.oneof(shortText, ownName, brokerName), field), { maxLength: 200, size: 'max' })
      .map((entries) => {
        const headers: Record<string, unknown> = {};
        // as the driver does it: `__proto__` sets the prototype
        for (const [name, value] of entries) {
          try {
            headers[name] = value;
          } catch {
            break; // a prototype may refuse a value: where the driver fails so, its guard drops the headers
          }
        }
        return headers;
      }),
    { nil: undefined },
  ),
  exchange: fc.constantFrom('', 'events'),
  redelivered: fc.boolean(),
  routingKey: shortText,
  properties: fc.record({
    messageId: fc.option(
      fc.oneof(
        shortText,
        shortText.map((id) => `${id};expires=1800000000000`),
      ),
      { nil: undefined },
    ),
    type: fc.option(shortText, { nil: undefined }),
    contentType: fc.option(shortText, { nil: undefined }),
    contentEncoding: fc.option(shortText, { nil: undefined }),
    appId: fc.option(shortText, { nil: undefined }),
    correlationId: fc.option(shortText, { nil: undefined }),
    replyTo: fc.option(shortText, { nil: undefined }),
    timestamp: fc.option(fc.oneof(fc.nat(), fc.double({ min: 0, max: 2 ** 64, noNaN: true }).map(Math.floor))),
  }),
});

describe('a request', () => {
  const request: Message = {
    id: 'r-1',
    type: 'orders.place',
    topic: 'orders.place',
    contentType: 'application/json',
    headers: NO_HEADERS,
    body: Buffer.from('1'),
    timestamp: 1_800_000_000_000,
    replyTo: 'amq.rabbitmq.reply-to',
    requestId: 'r-1',
    expiresAt: 1_800_000_010_123,
  };
  const arriving = (message: Message, exchange = '') =>
    toMessage({
      content: message.body as Buffer,
      properties: toProperties(message, FIRST_ATTEMPT),
      fields: { redelivered: false, exchange, routingKey: 'events.command.orders.place' },
    } as unknown as ConsumeMessage);

  it('goes without headers, which cost the driver as much as all the rest', () => {
    const { headers, messageId, type, correlationId } = toProperties(request, FIRST_ATTEMPT);
    expect({ headers, messageId, type, correlationId }).toEqual({
      headers: undefined,
      messageId: 'r-1;expires=1800000010123',
      type: 'orders.place',
      correlationId: 'r-1',
    });
  });

  it.each<[string, Partial<Message>]>([
    ['as it is', {}],
    ['in a chain', { correlationId: 'c', causationId: 'm', depth: 3 }],
    ['for an answer in parts', { credit: 5 }],
    ['with headers', { headers: { tenant: 'a' } }],
    ['of another type', { type: 'order' }],
    ['without a type', { type: '' }],
    ['with an id that leaves no room', { id: 'x'.repeat(250) }],
    ['with an id that leaves no room and ends like one', { id: `${'x'.repeat(220)};expires=1800000000000` }],
    ['with an id that ends like one', { id: 'a;expires=1800000000000' }],
  ])('arrives as it was sent: %s', (_, over) => {
    const { requestId, ...sent } = { ...request, ...over };
    const message = arriving({ ...request, ...over });
    expect(message).toMatchObject(sent);
    expect(requestIdOf(message)).toBe(requestId);
  });

  it('of another program may say in a header by when it must be started, and says by its type what it asks for', () => {
    const properties = { messageId: 'p-1', type: 'orders.place', replyTo: 'amq.rabbitmq.reply-to' };
    const one = received({ exchange: '', headers: { 'eb-expires': 1_800_000_010_123 }, properties });
    expect(toMessage(one)).toMatchObject({ id: 'p-1', topic: 'orders.place', expiresAt: 1_800_000_010_123 });
  });

  it('of another program without a correlation id is answered with the id that it gave', () => {
    const properties = { messageId: 'p-1;expires=1800000010123', replyTo: 'amq.rabbitmq.reply-to' };
    const message = toMessage(received({ exchange: '', properties }));
    expect(message).toMatchObject({ id: 'p-1', expiresAt: 1_800_000_010_123 });
    expect(requestIdOf(message)).toBe('p-1;expires=1800000010123');
    expect(requestIdOf(arriving(message))).toBe('p-1;expires=1800000010123');
  });

  it('only is read so: the id of an event may end like one, and its type is no topic', () => {
    const { replyTo: _, ...event } = { ...request, id: 'a;expires=1800000000000' };
    const { expiresAt, ...head } = event;
    expect(arriving(head)).toMatchObject({ id: head.id, expiresAt: undefined, topic: 'orders.place' });
    expect(toProperties(event, FIRST_ATTEMPT).headers).toMatchObject({
      'eb-expires': expiresAt,
      'eb-topic': 'orders.place',
    });
    const properties = { type: 'admin.delete', replyTo: 'amq.rabbitmq.reply-to' };
    expect(toMessage(received({ properties })).topic).toBe('a.b');
    expect(toMessage(received({ exchange: '', properties: { type: 'admin.delete' } })).topic).toBe('a.b');
  });
});

describe('any message that comes in', () => {
  it('can be written as a copy, which says the same', () => {
    fc.assert(
      fc.property(inbound, (parts) => {
        const one = received({ ...parts, headers: parts.headers as object });
        const message = toMessage(one);
        const copy = sentBy(one, WORST);
        expect(toMessage(copy)).toMatchObject({
          ...message,
          dueAt: WORST.dueAt,
          timestamp: Math.floor(message.timestamp / 1_000) * 1_000,
          headers: { ...message.headers },
        });
        expect(attemptOf(copy)).toBe(WORST.attempt);
        expect(toDeadLetter(copy)).toMatchObject({ reason: WORST.reason, failure: WORST.failure });
        // it can be copied again and again
        expect(toMessage(sentBy(copy, WORST))).toEqual(toMessage(copy));
      }),
      { numRuns: 300 },
    );
  });

  it('gives numbers in their range', () => {
    fc.assert(
      fc.property(inbound, (parts) => {
        const one = received({ ...parts, headers: parts.headers as object });
        expect(attemptOf(one)).toBeGreaterThanOrEqual(1);
        expect(attemptOf(one)).toBeLessThanOrEqual(LIMITS.attempt);
        expect(deferralsOf(one)).toBeGreaterThanOrEqual(0);
        expect(deferralsOf(one)).toBeLessThanOrEqual(LIMITS.deferrals);
        expect(missesOf(one)).toBeGreaterThanOrEqual(0);
        expect(missesOf(one)).toBeLessThanOrEqual(LIMITS.attempt);
        expect(returnsOf(one)).toBeGreaterThanOrEqual(0);
        expect(Number.isNaN(new Date(toMessage(one).timestamp).getTime())).toBe(false);
        const { credit = 1, replyTo } = toMessage(one);
        expect(credit >= 1 && credit <= LIMITS.streamCredit && (replyTo !== undefined || credit === 1)).toBe(true);
        const defect = defectOf(one);
        expect(defect === undefined || defect.length < 200).toBe(true);
      }),
      { numRuns: 300 },
    );
  });
});

describe('what only the library may set', () => {
  it('is believed when it comes by the default exchange', () => {
    const copy = received({ headers: FORGED, exchange: '' });
    expect(toMessage(copy).topic).toBe('admin.delete');
    expect([attemptOf(copy), deferralsOf(copy), missesOf(copy), firstFailedAtOf(copy)]).toEqual([7, 99, 8, 1]);
  });

  it.each<[string, Parts]>([
    ['by another exchange', { headers: FORGED }],
    [
      'by the default exchange because the broker has dead-lettered what somebody published',
      { headers: { ...FORGED, 'x-death': [{ exchange: 'events', queue: 'group' }] }, exchange: '' },
    ],
    [
      'with a death that names no exchange',
      { headers: { ...FORGED, 'x-death': [Object.create({ exchange: '' })] }, exchange: '' },
    ],
    ['in a prototype', { headers: Object.create(FORGED) as object, exchange: '' }],
  ])('is not when it comes %s', (_, parts) => {
    const one = received(parts);
    expect(toMessage(one).topic).toBe('a.b');
    expect([attemptOf(one), deferralsOf(one), missesOf(one), firstFailedAtOf(one)]).toEqual([1, 0, 0, undefined]);
  });

  it('is believed when the broker has dead-lettered a copy', () => {
    const copy = received({ headers: { ...FORGED, 'x-death': [{ exchange: '', queue: 'group' }] }, exchange: '' });
    expect(attemptOf(copy)).toBe(7);
  });

  it.each(['seven', null, 1.5, Number.NaN, [7], { value: 7 }, '7'])('as an attempt is not %p', (attempt) => {
    expect(attemptOf(received({ headers: { 'eb-attempt': attempt }, exchange: '' }))).toBe(1);
  });

  it.each([
    [-1, 1],
    [0, 1],
    [1e9, LIMITS.attempt],
    [Number.MIN_SAFE_INTEGER, 1],
  ])('of the attempt %d makes %d', (attempt, expected) => {
    expect(attemptOf(received({ headers: { 'eb-attempt': attempt }, exchange: '' }))).toBe(expected);
  });

  it.each([
    [7, 7],
    [1e9, LIMITS.chainDepth],
    [-1, undefined],
    [0, undefined],
    [1.5, undefined],
    [Number.NaN, undefined],
    ['7', undefined],
    [{ '!': 'double', value: 7 }, undefined],
  ])('of the depth %p makes %p, whether it is a copy or not', (depth, expected) => {
    for (const exchange of ['', 'events']) {
      expect(toMessage(received({ headers: { 'eb-depth': depth }, exchange })).depth).toBe(expected);
    }
  });

  it.each(['eb-key', 'eb-causation', 'eb-topic'])('%s is ignored when it is too long for it', (name) => {
    const valuesAt = (length: number): readonly unknown[] =>
      Object.values(toMessage(received({ headers: { [name]: 'k'.repeat(length) }, exchange: '' })));
    const longest = LIMITS.internalHeaderBytes;
    expect(valuesAt(longest)).toContain('k'.repeat(longest));
    expect(valuesAt(longest + 1).filter((value) => typeof value === 'string' && value.includes('kkk'))).toEqual([]);
  });

  it('keeps a stack of full length beside a dead letter', () => {
    const copy = sentBy(received(), WORST);
    expect(toDeadLetter(copy).failure).toEqual(WORST.failure);
  });
});

describe('a prototype that came with the headers', () => {
  const named = [
    'eb-version',
    'eb-key',
    'eb-causation',
    'eb-depth',
    'eb-expires',
    'eb-due',
    'eb-topic',
    'eb-attempt',
    'eb-reason',
  ];

  it('is not read', () => {
    const values = Object.fromEntries(
      named.flatMap((name) => [
        [name, 99],
        [`${name}-text`, 'x'],
      ]),
    );
    const hostile = Object.create({
      ...values,
      isAdmin: true,
      'x-delivery-count': 50,
      'eb-unreadable': true,
    }) as object;
    const plain = toMessage(received({ exchange: '', redelivered: true }));
    const one = received({ headers: hostile, exchange: '', redelivered: true });
    expect(toMessage(one)).toEqual(plain);
    expect(returnsOf(one)).toBe(0);
    expect(defectOf(one)).toBeUndefined();
    expect(toDeadLetter(one).reason).toBe('unknown');
  });
});

describe('x-delivery-count', () => {
  it('is believed only when the broker says that it delivers again', () => {
    const headers = { 'x-delivery-count': 4 };
    expect(returnsOf(received({ headers, redelivered: true }))).toBe(4);
    expect(returnsOf(received({ headers }))).toBe(0);
    expect(returnsOf(received({ headers: { 'x-delivery-count': -4 }, redelivered: true }))).toBe(0);
    expect(returnsOf(received({ redelivered: true }))).toBe(0);
  });
});

describe('the defect of a message', () => {
  it.each([undefined, '', 'identity', 'utf-8', 'UTF-8', 'utf8', 'Identity'])(
    'is no content encoding when it is called %p',
    (contentEncoding) => {
      expect(toMessage(received({ properties: { contentEncoding } })).contentEncoding).toBeUndefined();
    },
  );

  it('stays with the copies of a message that is packed, so that a replay does not unpack it by chance', () => {
    const message = toMessage(received({ properties: { contentEncoding: 'gzip' } }));
    expect(message.contentEncoding).toBe('gzip');
    expect(toProperties(message, { attempt: 1 }).contentEncoding).toBe('gzip');
    expect(toMessage(received({ properties: { contentEncoding: 'utf-8' } })).contentEncoding).toBeUndefined();
  });

  it('is that the headers cannot be read', () => {
    expect(defectOf(received({ headers: { 'eb-unreadable': true } }))).toMatch(/cannot be read/);
  });

  it.each<[string, object, boolean]>([
    ['as many as can be sent', Object.fromEntries(Array.from({ length: 128 }, (_, i) => [`h${i}`, i])), false],
    ['one more', Object.fromEntries(Array.from({ length: 129 }, (_, i) => [`h${i}`, i])), true],
    ['as many bytes as can be sent', { h: 'x'.repeat(LIMITS.headerBytes - 1) }, false],
    ['one byte more', { h: 'x'.repeat(LIMITS.headerBytes) }, true],
    ['a name of 255 bytes', { ['n'.repeat(255)]: 1 }, false],
    ['a name of more, which was no UTF-8', { ['\ufffd'.repeat(86)]: 1 }, true],
    ['many that nobody sees', Object.fromEntries(Array.from({ length: 500 }, (_, i) => [`x-${i}`, i])), false],
    ['deaths without number', { 'x-death': Array.from({ length: 10_000 }, () => ({ reason: 'expired' })) }, false],
    ['those that it had when it failed', toProperties(toMessage(received()), WORST).headers as object, false],
  ])('headers: %s', (_, headers, isDefect) => {
    expect(defectOf(received({ headers })) !== undefined).toBe(isDefect);
  });
});

describe('the timestamp', () => {
  it.each([
    [1_700_000_000, 1_700_000_000_000],
    [1_700_000_000_123, 1_700_000_000_123],
    [0, 0],
    [2 ** 64, 0],
    [99_999_999_999, 99_999_999_999_000],
    [Number.NaN, 0],
    ['1', 0],
    [undefined, 0],
  ])('of %p is %d ms', (timestamp, expected) => {
    expect(toMessage(received({ properties: { timestamp } })).timestamp).toBe(expected);
  });
});
