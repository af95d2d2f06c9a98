import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { ConfigurationError, DecodeError, ValidationError } from '../../../lib/core/errors.js';
import {
  NestEnvelopeSerializer,
  type NestEnvelopeSerializerOptions,
} from '../../../lib/serializers/nest-envelope.serializer.js';
import { aHead, harmlessJson, strangeErrorOf } from '../support/a-head.js';
import { caught } from '../support/caught.js';

const serializer = new NestEnvelopeSerializer();
const decoded = (value: unknown, topic = 'orders.created'): unknown =>
  serializer.decode(Buffer.from(JSON.stringify(value)), aHead({ topic }));
const encoded = (payload: unknown, topic = 'orders.created'): unknown =>
  JSON.parse(Buffer.from(serializer.encode(payload, aHead({ topic }))).toString());

describe('NestEnvelopeSerializer', () => {
  it('writes the topic as the pattern, and a body that says it is JSON', () => {
    expect(encoded({ n: 1 })).toEqual({ pattern: 'orders.created', data: { n: 1 } });
    expect(encoded(undefined)).toEqual({ pattern: 'orders.created', data: null });
    expect(serializer.contentType).toBe('application/json');
  });

  it('gives back every JSON payload, also one that looks like an envelope of its topic', () => {
    const envelope = fc.record({ pattern: fc.constant('orders.created'), data: harmlessJson });
    fc.assert(
      fc.property(fc.oneof(harmlessJson, envelope), (payload) => {
        const body = serializer.encode(payload, aHead({ topic: 'orders.created' }));
        const back = serializer.decode(body, aHead({ topic: 'orders.created' }));
        expect(JSON.stringify(back)).toBe(JSON.stringify(payload));
      }),
    );
  });

  it.each<[string, unknown, unknown]>([
    ['an event', { pattern: 'orders.created', data: { n: 1 } }, { n: 1 }],
    ['a request', { pattern: 'orders.created', data: 1, id: '7f' }, 1],
    ['an event without data', { pattern: 'orders.created' }, null],
    ['an event of nothing', { pattern: 'orders.created', data: null }, null],
  ])('takes %s out of its envelope', (_, value, data) => {
    expect(decoded(value)).toEqual(data);
  });

  it('takes a pattern that is an object for the routing key that Nest makes of it', () => {
    expect(decoded({ pattern: { cmd: 'sum' }, data: [1] }, '{"cmd":"sum"}')).toEqual([1]);
    expect(decoded({ pattern: { cmd: 'sum' }, data: [1] }, 'sum')).toEqual({ pattern: { cmd: 'sum' }, data: [1] });
  });

  it.each<[string, unknown]>([
    ['with the pattern of another topic', { pattern: '*.txt', data: 1 }],
    ['with more in it', { pattern: 'orders.created', data: 1, price: 2 }],
    ['without a pattern', { data: 1 }],
    ['with a pattern of nothing', { pattern: null, data: 1 }],
    ['that is a list', [{ pattern: 'orders.created', data: 1 }]],
    ['that is text', 'orders.created'],
    ['that is nothing', null],
  ])('leaves JSON %s as it is', (_, value) => {
    expect(decoded(value)).toEqual(value);
  });

  it('takes whatever comes by a queue of theirs out of its envelope', () => {
    const own = new NestEnvelopeSerializer({ queues: ['legacy'] });
    const decode = (value: unknown, topic: string): unknown =>
      own.decode(Buffer.from(JSON.stringify(value)), aHead({ topic }));
    expect(decode({ pattern: 'orders.created', data: 1 }, 'legacy')).toBe(1);
    expect(decode({ pattern: { cmd: 'sum' }, data: 1 }, 'legacy')).toBe(1);
    expect(decode({ pattern: 'orders.created', data: 1 }, 'other')).toEqual({ pattern: 'orders.created', data: 1 });
    expect(decode({ pattern: 'orders.created', more: 1 }, 'legacy')).toEqual({ pattern: 'orders.created', more: 1 });
  });

  it('refuses names by which a prototype could be changed, both ways', () => {
    const body = Buffer.from('{"pattern":"a","data":{"__proto__":{"admin":true}}}');
    expect(caught(() => serializer.decode(body, aHead({ topic: 'a' })))).toBeInstanceOf(DecodeError);
    const payload = JSON.parse('{"__proto__":{"admin":true}}') as unknown;
    expect(caught(() => serializer.encode(payload, aHead()))).toBeInstanceOf(ValidationError);
  });

  it('fails for bytes that are no JSON with a DecodeError, and with no other', () => {
    fc.assert(
      fc.property(fc.uint8Array(), (bytes) => {
        expect(strangeErrorOf(() => serializer.decode(bytes, aHead()))).toBeUndefined();
      }),
    );
  });

  it('writes plain JSON when it is told to, and still reads envelopes', () => {
    const own = new NestEnvelopeSerializer({ write: 'plain' });
    expect(Buffer.from(own.encode({ n: 1 }, aHead())).toString()).toBe('{"n":1}');
    expect(own.decode(Buffer.from('{"pattern":"orders.created","data":1}'), aHead())).toBe(1);
  });

  it.each<[unknown]>([[{ queues: 'legacy' }], [{ queues: [1] }], [{ queues: [''] }], [{ write: 'json' }]])(
    'refuses the options %j',
    (options) => {
      const error = caught(() => new NestEnvelopeSerializer(options as NestEnvelopeSerializerOptions));
      expect(error).toBeInstanceOf(ConfigurationError);
    },
  );
});
