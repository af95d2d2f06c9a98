import { describe, expect, it } from '@jest/globals';
import { CloudEvent, HTTP } from 'cloudevents';
import fc from 'fast-check';
import { ConfigurationError, DecodeError, ValidationError } from '../../../lib/core/errors.js';
import { toHeaders } from '../../../lib/core/headers.js';
import type { Headers } from '../../../lib/core/message.js';
import type { EncodedBody, MessageHead, Serializer } from '../../../lib/core/serializer.js';
import {
  CloudEventsSerializer,
  type CloudEventsSerializerOptions,
} from '../../../lib/serializers/cloud-events.serializer.js';
import { aHead, harmlessJson, strangeErrorOf } from '../support/a-head.js';
import { caught } from '../support/caught.js';

type Mode = CloudEventsSerializerOptions['mode'];

const MODES: readonly Mode[] = ['binary', 'structured'];
const HEAD = aHead({ type: 'order.created', correlationId: 'c-1', causationId: 'm-0', key: 'k', expiresAt: 4e12 });
const ATTRIBUTES = {
  specversion: '1.0',
  id: 'm-1',
  source: 'shop',
  type: 'order.created',
  subject: 'orders.created',
  time: '2026-01-02T03:04:05.678Z',
  correlationid: 'c-1',
  causationid: 'm-0',
  partitionkey: 'k',
  expirytime: '2096-10-02T07:06:40.000Z',
};
const REQUIRED = { specversion: '1.0', id: '1', source: '/a', type: 't' };

/** What a receiver has of what was published. */
function received(encoded: EncodedBody, head: MessageHead, serializer: Serializer): [Uint8Array, MessageHead] {
  const headers = toHeaders({ ...head.headers, ...encoded.headers });
  return [encoded.body, { ...head, headers, contentType: encoded.contentType ?? serializer.contentType }];
}

const prefixed = (attributes: object, prefix = 'cloudEvents:'): Headers =>
  toHeaders(Object.fromEntries(Object.entries(attributes).map(([name, value]) => [prefix + name, value as string])));
const text = (body: Uint8Array): string => Buffer.from(body).toString();
const structured = (document: unknown, over: Partial<CloudEventsSerializerOptions> = {}): unknown =>
  new CloudEventsSerializer({ mode: 'structured', ...over }).decode(Buffer.from(JSON.stringify(document)), aHead());
const binary = (headers: Headers, body = '1', over: Partial<CloudEventsSerializerOptions> = {}): unknown =>
  new CloudEventsSerializer({ mode: 'binary', ...over }).decode(Buffer.from(body), aHead({ headers }));

/** Bytes as they are, of a type that is neither JSON nor text. */
const bytes = (contentType = 'application/octet-stream'): Serializer => ({
  contentType,
  encode: (payload) => payload as Uint8Array,
  decode: (body) => Uint8Array.from(body),
});

describe('what is written', () => {
  it('binary: the body is the data, and the attributes are headers', () => {
    const serializer = new CloudEventsSerializer({ mode: 'binary' });
    const { body, headers, contentType } = serializer.encode({ n: 1 }, HEAD);
    expect(serializer.contentType).toBe('application/json');
    expect([text(body), contentType]).toEqual(['{"n":1}', undefined]);
    expect({ ...headers }).toEqual({ ...prefixed(ATTRIBUTES) });
  });

  it('structured: one document', () => {
    const serializer = new CloudEventsSerializer({ mode: 'structured' });
    const { body, headers } = serializer.encode({ n: 1 }, HEAD);
    expect(serializer.contentType).toBe('application/cloudevents+json');
    expect(headers).toBeUndefined();
    expect(JSON.parse(text(body))).toEqual({ ...ATTRIBUTES, datacontenttype: 'application/json', data: { n: 1 } });
  });

  it.each(MODES)('%s: the type is the topic when the event has no name; attributes of the user win', (mode) => {
    const serializer = new CloudEventsSerializer({
      mode,
      source: '/shop/orders',
      payload: 'event',
      attributes: ({ headers }, payload) => ({
        dataschema: 'https://shop.example/order.json',
        subject: `order-${(payload as { n: number }).n}`,
        time: undefined,
        traceparent: headers.traceparent,
        retries: 3,
        test: true,
      }),
    });
    const head = aHead({ headers: toHeaders({ traceparent: '00-1-2-00' }) });
    expect(serializer.decode(...received(serializer.encode({ n: 1 }, head), head, serializer))).toEqual({
      specversion: '1.0',
      id: 'm-1',
      source: '/shop/orders',
      type: 'orders.created',
      subject: 'order-1',
      datacontenttype: 'application/json',
      dataschema: 'https://shop.example/order.json',
      traceparent: '00-1-2-00',
      retries: 3,
      test: true,
      data: { n: 1 },
    });
  });

  it.each<[string, Partial<MessageHead>, CloudEventsSerializerOptions['attributes'], RegExp]>([
    ['no source', { source: undefined as never }, undefined, /"source" is missing.*`service` of the bus/],
    ['a source that is none', { source: '1:2 c4n4ry' }, undefined, /"source" must be a URI reference/],
    ['no topic and no type', { topic: '' }, undefined, /"type" is missing/],
    ['a control character', { correlationId: 'c4n4ry\n' }, undefined, /"correlationid" has a control character/],
    ['an attribute with a bad name', {}, () => ({ traceParent: 'c4n4ry' }), /"traceParent" is no name/],
    ['a prototype', {}, () => JSON.parse('{"__proto__":"c4n4ry"}'), /"__proto__" is no name/],
    ['an id of its own', {}, () => ({ id: 'c4n4ry' }), /"id" is made by the serializer/],
    ['data as an attribute', {}, () => ({ data: 'c4n4ry' }), /"data" is made by the serializer/],
    ['a fraction', {}, () => ({ weight: 1.5 }), /"weight" must be a whole number/],
    ['a large number', {}, () => ({ weight: 2 ** 31 }), /"weight" must be a whole number/],
    ['an object', {}, () => ({ weight: {} as never }), /"weight" must be text/],
    ['an empty text', {}, () => ({ weight: '' }), /"weight" is empty/],
    ['a schema that is no URI', {}, () => ({ dataschema: 'order.json' }), /"dataschema" must be a URI/],
    ['a time that is none', {}, () => ({ time: 'c4n4ry' }), /"time" must be a time/],
    ['a type that is no text', {}, () => ({ type: 1 }), /"type" must be text/],
  ])('refuses %s, without its value', (_, head, attributes, complaint) => {
    for (const mode of MODES) {
      const serializer = new CloudEventsSerializer({ mode, ...(attributes && { attributes }) });
      const error = caught(() => serializer.encode(1, aHead(head)));
      expect(error).toBeInstanceOf(ValidationError);
      expect(error.message).toMatch(complaint);
      expect(error.message).not.toContain('c4n4ry');
    }
  });

  it('structured: data that would make the document too deep is refused, not published for nobody', () => {
    const serializer = new CloudEventsSerializer({ mode: 'structured' });
    const deep = (levels: number): unknown => JSON.parse('['.repeat(levels) + ']'.repeat(levels));
    const encoded = serializer.encode(deep(999), HEAD);
    expect(serializer.decode(...received(encoded, HEAD, serializer))).toEqual(deep(999));
    expect(caught(() => serializer.encode(deep(1_000), HEAD))).toBeInstanceOf(ValidationError);
  });

  it('compressed data: as it is in binary mode, refused in structured mode', () => {
    const data: Serializer = {
      contentType: 'application/json',
      contentEncodings: ['gzip'],
      encode: () => ({ body: Buffer.from('zipped'), contentEncoding: 'gzip', headers: { level: 9 } }),
      decode: (body) => text(body),
    };
    const serializer = new CloudEventsSerializer({ mode: 'binary', data });
    expect(serializer.contentEncodings).toEqual(['gzip']);
    const encoded = serializer.encode(1, HEAD);
    expect(encoded).toMatchObject({ contentEncoding: 'gzip', headers: { level: 9, 'cloudEvents:id': 'm-1' } });
    expect(serializer.decode(...received(encoded, HEAD, serializer))).toBe('zipped');
    const making = (): unknown => new CloudEventsSerializer({ mode: 'structured', data });
    expect(caught(making)).toBeInstanceOf(ConfigurationError);
    expect(caught(making).message).toMatch(/Wrap the CloudEventsSerializer/);
    // one that does not say so beforehand
    const silent = new CloudEventsSerializer({ mode: 'structured', data: { ...data, contentEncodings: [] } });
    expect(caught(() => silent.encode(1, HEAD)).message).toMatch(/Wrap the CloudEventsSerializer/);
  });

  it.each(['binary', 'structured'] as const)('a promise as the data is refused: %s', (mode) => {
    const data: Serializer = {
      contentType: 'application/json',
      encode: () => Promise.reject(new Error('later')) as never,
      decode: () => Promise.reject(new Error('later')),
    };
    const serializer = new CloudEventsSerializer({ mode, data, payload: 'event' });
    expect(caught(() => serializer.encode(1, HEAD)).message).toMatch(/must not be asynchronous/);
    const written = new CloudEventsSerializer({ mode }).encode(1, HEAD);
    expect(caught(() => serializer.decode(...received(written, HEAD, serializer))).message).toMatch(
      /must not be asynchronous/,
    );
  });
});

describe('what is read', () => {
  it.each(['cloudEvents:', 'cloudEvents_'])('binary: attributes with the prefix %s', (prefix) => {
    const headers = prefixed({ ...REQUIRED, extra: 5, 'Not-One': 'x', data: 'x' }, prefix);
    expect(binary(headers, '{"n":1}')).toEqual({ n: 1 });
    expect(binary(headers, '{"n":1}', { payload: 'event' })).toEqual({
      ...REQUIRED,
      extra: 5,
      datacontenttype: 'application/json',
      data: { n: 1 },
    });
  });

  it('binary: both prefixes may say the same, and may not contradict each other', () => {
    const both = { ...prefixed(REQUIRED), ...prefixed(REQUIRED, 'cloudEvents_') };
    expect(binary(both)).toBe(1);
    expect(caught(() => binary({ ...both, cloudEvents_id: '2' })).message).toMatch(/two things of "id"/);
  });

  it('binary: no body is no data', () => {
    expect(binary(prefixed(REQUIRED), '')).toBeNull();
    const plain = {
      contentType: 'text/plain',
      encode: () => Buffer.alloc(0),
      decode: (body: Uint8Array) => `(${text(body)})`,
    };
    const serializer = new CloudEventsSerializer({ mode: 'binary', data: plain });
    const head = aHead({ headers: prefixed(REQUIRED), contentType: 'text/plain' });
    expect(serializer.decode(Buffer.alloc(0), head)).toBe('()');
  });

  it('binary: a body without attributes is refused, unless plain ones are accepted', () => {
    const none = toHeaders({ cloudEvents: 'x', tenant: 'a' });
    expect(caught(() => binary(none))).toBeInstanceOf(DecodeError);
    expect(binary(none, '{"n":1}', { acceptPlain: true, payload: 'event' })).toEqual({ n: 1 });
    expect(caught(() => binary(prefixed({ id: '1' }), '1', { acceptPlain: true }))).toBeInstanceOf(DecodeError);
  });

  it.each<[string, object, RegExp]>([
    ['no version', { specversion: undefined }, /"specversion"/],
    ['another version', { specversion: '0.3' }, /"specversion"/],
    ['no id', { id: undefined }, /"id"/],
    ['an empty id', { id: '' }, /"id"/],
    ['a number as id', { id: 7 }, /"id"/],
    ['no source', { source: undefined }, /"source"/],
    ['no type', { type: undefined }, /"type"/],
    ['a time that is none', { time: 'c4n4ry' }, /"time"/],
    ['a 13th month', { time: '2026-13-01T00:00:00Z' }, /"time"/],
    ['a subject that is no text', { subject: 1 }, /"subject"/],
  ])('both: %s is a DecodeError', (_, over, complaint) => {
    for (const read of [() => binary(prefixed({ ...REQUIRED, ...over })), () => structured({ ...REQUIRED, ...over })]) {
      const error = caught(read);
      expect(error).toBeInstanceOf(DecodeError);
      expect(error.message).toMatch(complaint);
      expect(error.message).not.toContain('c4n4ry');
    }
  });

  it.each<[string, unknown]>([
    ['a batch', [{ ...REQUIRED }]],
    ['text', 'x'],
    ['nothing', null],
    ['an attribute that is an object', { ...REQUIRED, extra: {} }],
    ['data twice', { ...REQUIRED, data: 1, data_base64: 'MQ==' }],
    ['base64 that is none', { ...REQUIRED, data_base64: '?' }],
    ['base64 that is no text', { ...REQUIRED, data_base64: 1 }],
    ['data of another type', { ...REQUIRED, datacontenttype: 'text/xml', data: '<a/>' }],
  ])('structured: %s is a DecodeError', (_, document) => {
    expect(caught(() => structured(document))).toBeInstanceOf(DecodeError);
  });

  it.each<[string, object, unknown]>([
    ['no data', {}, null],
    ['data that is null', { data: null }, null],
    ['JSON', { data: { n: 1 }, datacontenttype: 'application/vnd.shop+json; charset=utf-8' }, { n: 1 }],
    ['JSON in base64', { data_base64: Buffer.from('{"n":1}').toString('base64') }, { n: 1 }],
    ['attributes that are null', { data: 1, subject: null, extra: null }, 1],
    ['members that are no attributes', { data: 1, dataVersion: { a: 1 } }, 1],
  ])('structured: %s', (_, over, data) => {
    expect(structured({ ...REQUIRED, ...over })).toEqual(data);
  });

  it('structured: text stays text, and other bytes are base64', () => {
    const all = Uint8Array.from({ length: 256 }, (_, i) => i);
    for (const [type, data, member] of [
      ['application/octet-stream', all, { data_base64: Buffer.from(all).toString('base64') }],
      ['text/plain', Uint8Array.from(Buffer.from('größe')), { data: 'größe' }],
      ['text/plain', all, { data_base64: Buffer.from(all).toString('base64') }],
    ] as const) {
      const serializer = new CloudEventsSerializer({ mode: 'structured', data: bytes(type) });
      const encoded = serializer.encode(data, HEAD);
      expect(JSON.parse(text(encoded.body))).toMatchObject({ datacontenttype: type, ...member });
      expect(serializer.decode(...received(encoded, HEAD, serializer))).toEqual(data);
    }
    const error = caught(() =>
      structured({ ...REQUIRED, datacontenttype: 'text/plain', data: {} }, { data: bytes('text/plain') }),
    );
    expect(error).toBeInstanceOf(DecodeError);
  });

  it('structured: a serializer of the user for JSON reads the data itself', () => {
    const dates: Serializer = {
      contentType: 'application/json',
      encode: (payload) => Buffer.from(JSON.stringify(payload)),
      decode: (body) => new Date(JSON.parse(text(body)) as string),
    };
    const serializer = new CloudEventsSerializer({ mode: 'structured', data: dates });
    const encoded = serializer.encode(new Date(5), HEAD);
    expect(serializer.decode(...received(encoded, HEAD, serializer))).toEqual(new Date(5));
  });

  it('names by which a prototype could be changed are refused; an attribute "constructor" is a text', () => {
    expect(caught(() => structured(JSON.parse('{"data":{"__proto__":{"admin":1}}}')))).toBeInstanceOf(DecodeError);
    const raw = Buffer.from(JSON.stringify(REQUIRED).replace('}', ',"__proto__":{"admin":true}}'));
    const serializer = new CloudEventsSerializer({ mode: 'structured', payload: 'event' });
    expect(caught(() => serializer.decode(raw, aHead()))).toBeInstanceOf(DecodeError);
    const event = binary(prefixed({ ...REQUIRED, constructor: 'x' }), '1', { payload: 'event' }) as object;
    expect(Object.getPrototypeOf(event)).toBe(Object.prototype);
    expect(Object.getOwnPropertyDescriptor(event, 'constructor')).toMatchObject({ value: 'x' });
  });

  it('any bytes and headers give a payload or a DecodeError', () => {
    const members = fc.dictionary(
      fc.constantFrom('specversion', 'id', 'source', 'type', 'time', 'data', 'data_base64', 'datacontenttype', 'x'),
      fc.oneof(fc.constantFrom('1.0', 'a', 'application/json', 'MQ=='), fc.jsonValue()),
    );
    const body = fc.oneof(
      fc.uint8Array(),
      members.map((value) => Uint8Array.from(Buffer.from(JSON.stringify({ ...REQUIRED, ...value })))),
    );
    const values = fc.oneof(
      fc.string(),
      fc.integer(),
      fc.boolean(),
      fc.double({ noNaN: true, noDefaultInfinity: true }),
    );
    const names = fc.constantFrom('specversion', 'id', 'source', 'type', 'time', 'subject', 'constructor', 'A');
    fc.assert(
      fc.property(fc.constantFrom(...MODES), body, fc.dictionary(names, values), (mode, sent, attributes) => {
        const head = aHead({ headers: prefixed({ ...REQUIRED, ...attributes }) });
        const serializer = new CloudEventsSerializer({ mode, payload: 'event' });
        expect(strangeErrorOf(() => serializer.decode(sent, head))).toBeUndefined();
      }),
    );
  });
});

describe('the package "cloudevents"', () => {
  const heads = fc
    .record({
      id: fc.string({ minLength: 1 }).filter((id) => /^[\x20-\x7e]+$/.test(id)),
      type: fc.constantFrom('', 'order.created', 'größe'),
      topic: fc.stringMatching(/^[a-z]+(\.[a-z]+){0,3}$/),
      source: fc.constantFrom('shop', '/shop/orders', 'urn:shop:1', 'https://shop.example/a?b=c#d', 'a%20b'),
      key: fc.option(fc.stringMatching(/^[\w.]+$/), { nil: undefined }),
      correlationId: fc.option(fc.uuid(), { nil: undefined }),
      timestamp: fc.date({ min: new Date(0), max: new Date(4e12), noInvalidDate: true }).map(Number),
    })
    .map((head) => aHead(head as Partial<MessageHead>));

  it('accepts what is written, in both modes', () => {
    fc.assert(
      fc.property(fc.constantFrom(...MODES), heads, harmlessJson, (mode, head, payload) => {
        const serializer = new CloudEventsSerializer({ mode });
        const encoded = serializer.encode(payload, head);
        const headers: Record<string, string> = { 'content-type': serializer.contentType };
        for (const [name, value] of Object.entries(encoded.headers ?? {})) {
          headers[name.replace('cloudEvents:', 'ce-')] = String(value);
        }
        const event = HTTP.toEvent({ headers, body: text(encoded.body) }) as CloudEvent<unknown>;
        expect(event.validate()).toBe(true);
        expect(event).toMatchObject({
          id: head.id,
          source: head.source,
          type: head.type || head.topic,
          subject: head.topic,
          time: new Date(head.timestamp).toISOString(),
          datacontenttype: 'application/json',
        });
        // its HTTP reader guesses at JSON that is neither an object nor a list
        const isGuessed = typeof payload !== 'object' || payload === null;
        const data = isGuessed ? payload : event.data;
        expect(JSON.stringify(data)).toBe(JSON.stringify(payload));
        expect(JSON.stringify(serializer.decode(...received(encoded, head, serializer)))).toBe(JSON.stringify(payload));
      }),
    );
  });

  it('accepts documents with any data', () => {
    fc.assert(
      fc.property(heads, harmlessJson, (head, payload) => {
        const { body } = new CloudEventsSerializer({ mode: 'structured' }).encode(payload, head);
        const event = new CloudEvent<unknown>(JSON.parse(text(body)) as object);
        expect(JSON.stringify(event.data)).toBe(JSON.stringify(payload));
      }),
    );
  });

  it.each([
    ['an object', { n: 1 }],
    ['bytes', Uint8Array.of(1, 2, 255)],
  ])('is understood, with %s as data', (_, data) => {
    const isJson = !(data instanceof Uint8Array);
    const datacontenttype = isJson ? 'application/json' : 'application/octet-stream';
    const event = new CloudEvent({ source: '/theirs', type: 't', datacontenttype, subject: 's', extra: 'e', data });
    const options = { payload: 'event', ...(!isJson && { data: bytes() }) } as const;
    const expected = { source: '/theirs', type: 't', subject: 's', extra: 'e', time: event.time, data };

    const document = HTTP.structured(event);
    const fromDocument = new CloudEventsSerializer({ mode: 'structured', ...options });
    expect(fromDocument.contentType).toBe(String(document.headers['content-type']).split(';')[0]);
    expect(fromDocument.decode(Buffer.from(document.body as string), aHead())).toMatchObject(expected);

    const sent = HTTP.binary(event);
    const headers: Record<string, string> = {};
    for (const [name, value] of Object.entries(sent.headers)) {
      if (name.startsWith('ce-')) headers[name.replace('ce-', 'cloudEvents:')] = String(value);
    }
    const fromHeaders = new CloudEventsSerializer({ mode: 'binary', ...options });
    const head = aHead({ headers: toHeaders(headers), contentType: String(sent.headers['content-type']) });
    const body = isJson ? Buffer.from(sent.body as string) : Buffer.from(data as Uint8Array);
    expect(fromHeaders.decode(body, head)).toMatchObject(expected);
  });
});

describe('options', () => {
  it.each<[unknown, RegExp]>([
    [undefined, /mode must be/],
    [{ mode: 'batch' }, /mode must be/],
    [{ mode: 'binary', source: '' }, /source must be a URI reference/],
    [{ mode: 'binary', source: 'a b' }, /source must be a URI reference/],
    [{ mode: 'binary', source: '1:2' }, /source must be a URI reference/],
    [{ mode: 'binary', payload: 'all' }, /payload must be/],
    [{ mode: 'structured', acceptPlain: true }, /acceptPlain is for mode 'binary'/],
  ])('%j cannot work', (options, complaint) => {
    const error = caught(() => new CloudEventsSerializer(options as CloudEventsSerializerOptions));
    expect(error).toBeInstanceOf(ConfigurationError);
    expect(error.message).toMatch(complaint);
  });
});
