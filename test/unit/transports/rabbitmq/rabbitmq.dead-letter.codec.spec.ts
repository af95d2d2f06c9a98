import { describe, expect, it } from '@jest/globals';
import type { ConsumeMessage } from 'amqplib';
import { toDeadLetter } from '../../../../lib/transports/rabbitmq/rabbitmq.dead-letter.codec.js';

/** As the broker gives it out of a dead-letter queue. */
function received(headers: unknown, fields: Partial<ConsumeMessage['fields']> = {}): ConsumeMessage {
  return {
    content: Buffer.from('{}'),
    fields: { consumerTag: 'c', deliveryTag: 1, redelivered: false, exchange: '', routingKey: 'mail.dlq', ...fields },
    properties: { messageId: 'm-1', headers },
  } as unknown as ConsumeMessage;
}

const at = (seconds: unknown) => ({ '!': 'timestamp', value: seconds });
const TIME = 1_700_000_000;

/** A message of an exchange that the broker has dead-lettered. */
const death = (over: object = {}) => ({
  reason: 'rejected',
  queue: 'mail',
  exchange: 'events',
  'routing-keys': ['order.placed'],
  time: at(TIME),
  count: 1,
  ...over,
});

const OURS = {
  'eb-topic': 'order.copied',
  'eb-attempt': 4,
  'eb-reason': 'validation',
  'eb-error-name': 'RangeError',
  'eb-error-message': 'no stock',
  'eb-error-stack': 'at x',
  'eb-first-failed': 1_600_000_000_123,
  'eb-last-failed': 1_600_000_000_456,
};

describe('a dead letter that is a copy of ours', () => {
  it('says in our headers what happened', () => {
    expect(toDeadLetter(received(OURS))).toMatchObject({
      message: { id: 'm-1', topic: 'order.copied' },
      reason: 'validation',
      attempts: 4,
      failure: { name: 'RangeError', message: 'no stock', stack: 'at x' },
      firstFailedAt: 1_600_000_000_123,
      lastFailedAt: 1_600_000_000_456,
    });
  });

  it('has no failure when none was kept', () => {
    expect(toDeadLetter(received({ 'eb-reason': 'forbidden' }))).not.toHaveProperty('failure');
  });

  it('that somebody else has written keeps to what is ours: texts and numbers in bounds', () => {
    const long = 'é'.repeat(10_000);
    const forged = {
      'eb-reason': long,
      'eb-error-name': long,
      'eb-error-message': long,
      'eb-error-stack': long,
      'eb-attempt': 1e9,
      'eb-first-failed': -1,
      'eb-last-failed': Number.MAX_SAFE_INTEGER,
    };
    const letter = toDeadLetter(received(forged));
    const { failure, reason, attempts } = letter;
    const bytes = [reason, failure?.name, failure?.message, failure?.stack].map((each) =>
      Buffer.byteLength(each ?? ''),
    );
    expect(bytes[0]).toBeLessThanOrEqual(255);
    expect(bytes[1]).toBeLessThanOrEqual(255);
    expect(bytes[2]).toBeLessThanOrEqual(1_024);
    expect(bytes[3]).toBeLessThanOrEqual(4_096);
    expect(attempts).toBe(1_000);
    expect(letter).not.toHaveProperty('firstFailedAt');
    expect(letter).not.toHaveProperty('lastFailedAt');
  });

  it.each([[undefined], [{}]])('with the headers %j nobody can tell', (headers) => {
    expect(toDeadLetter(received(headers))).toStrictEqual({
      message: expect.objectContaining({ topic: 'mail.dlq' }),
      reason: 'unknown',
      attempts: 1,
      failure: { name: 'Unknown', message: expect.any(String) },
    });
  });

  it('is none when it came by an exchange, without the broker having a part in it', () => {
    const letter = toDeadLetter(received(OURS, { exchange: 'events', routingKey: 'order.placed' }));
    expect(letter).toMatchObject({ reason: 'unknown', attempts: 1, message: { topic: 'order.placed' } });
    expect(letter).not.toHaveProperty('firstFailedAt');
  });
});

describe('a dead letter that the broker made', () => {
  it.each([
    ['delivery_limit', 'delivery-limit', 'DeliveryLimit'],
    ['expired', 'expired', 'Expired'],
    ['rejected', 'rejected', 'Rejected'],
    ['maxlen', 'maxlen', 'QueueFull'],
    ['something_new', 'unknown', 'Unknown'],
    ['constructor', 'unknown', 'Unknown'],
    ['__proto__', 'unknown', 'Unknown'],
  ])('%s: its reason, an error in words, its topic and time', (reason, ours, name) => {
    expect(toDeadLetter(received({ 'x-death': [death({ reason })] }))).toMatchObject({
      message: { topic: 'order.placed' },
      reason: ours,
      failure: { name, message: expect.stringMatching(/^[A-Z].{20,}\.$/) },
      attempts: 1,
      firstFailedAt: TIME * 1_000,
      lastFailedAt: TIME * 1_000,
    });
  });

  it('believes nothing of a message that was published to an exchange', () => {
    const letter = toDeadLetter(received({ ...OURS, 'x-death': [death()] }));
    expect(letter).toMatchObject({
      message: { topic: 'order.placed' },
      reason: 'rejected',
      attempts: 1,
      failure: { name: 'Rejected' },
      firstFailedAt: TIME * 1_000,
    });
  });

  it('believes topic, attempts and first failure of a copy, and is never before its first failure', () => {
    const first = TIME * 1_000 + 900;
    const copy = { ...OURS, 'eb-first-failed': first };
    const letter = toDeadLetter(received({ ...copy, 'x-death': [death({ exchange: '', 'routing-keys': ['mail'] })] }));
    expect(letter).toMatchObject({
      message: { topic: 'order.copied' },
      reason: 'rejected',
      attempts: 4,
      failure: { name: 'Rejected' },
      firstFailedAt: first,
      lastFailedAt: first,
    });
  });

  it('and moved by another exchange is no copy', () => {
    const raw = { ...OURS, 'x-death': [death({ exchange: '' })] };
    expect(toDeadLetter(received(raw, { exchange: 'dlx' }))).toMatchObject({ attempts: 1, reason: 'rejected' });
  });

  it.each<[string, unknown]>([
    ['a text', 'x'],
    ['null', null],
    ['no rows', []],
    ['rows that are no tables', ['a', 1, null]],
    ['an empty row', [{}]],
    ['a row of wrong types', [{ reason: 1, exchange: [], 'routing-keys': 'k', time: 7 }]],
    ['a time that is none', [death({ reason: 'x', exchange: 'x', 'routing-keys': [7], time: at('now') })]],
    ['a time out of range', [death({ reason: 'x', exchange: 'x', 'routing-keys': [], time: at(1e300) })]],
    ['a huge topic', [death({ reason: 'x', exchange: 'x', 'routing-keys': ['x'.repeat(300)], time: at(-5) })]],
  ])('with an x-death that is %s believes nothing, and does not throw', (_, deaths) => {
    const letter = toDeadLetter(received({ ...OURS, 'x-death': deaths }));
    expect(letter).toStrictEqual({
      message: expect.objectContaining({ topic: 'mail.dlq' }),
      reason: 'unknown',
      attempts: 1,
      failure: expect.objectContaining({ name: 'Unknown' }),
    });
  });

  it('takes no x-death from a prototype that the message has brought along', () => {
    const headers = Object.create({ 'x-death': [death()] }) as object;
    expect(toDeadLetter(received(headers))).toMatchObject({ reason: 'unknown', message: { topic: 'mail.dlq' } });
  });
});
