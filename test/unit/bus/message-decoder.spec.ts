import { describe, expect, it } from '@jest/globals';
import { MessageDecoder } from '../../../lib/bus/message-decoder.js';
import { ConfigurationError, DecodeError } from '../../../lib/core/errors.js';
import type { Message } from '../../../lib/core/message.js';
import type { Serializer } from '../../../lib/core/serializer.js';
import { JsonSerializer } from '../../../lib/serializers/json.serializer.js';
import { aMessage } from '../support/message.js';

const json = new JsonSerializer();
const text: Serializer = {
  contentType: 'text/plain',
  encode: (payload) => Buffer.from(String(payload)),
  decode: (body) => {
    if (body.byteLength === 0) throw new Error('nothing there');
    return Buffer.from(body).toString();
  },
};
const decoder = new MessageDecoder([json, text], 10);
const decode = (fields: Partial<Message>): unknown => decoder.decode(aMessage(fields));

const failing = (_: unknown, fail: (error: Error) => void): void => fail(new Error('later'));

describe('MessageDecoder', () => {
  it.each(['application/json', '', 'APPLICATION/JSON; charset=utf-8', ' application/json '])(
    'reads JSON of the content type %p',
    (contentType) => {
      expect(decode({ contentType, body: Buffer.from('"one"') })).toBe('one');
    },
  );

  it('reads with the serializer of another content type', () => {
    expect(decode({ contentType: 'text/plain', body: Buffer.from('"one"') })).toBe('"one"');
  });

  it('reads with a serializer under each name of its type, also when it is not the first', () => {
    const packed: Serializer = {
      ...text,
      contentType: 'application/b',
      contentTypeAliases: ['application/a', 'application/c'],
    };
    const body = Buffer.from('one');
    for (const contentType of ['application/a', 'Application/B', 'application/c; v=1']) {
      expect(new MessageDecoder([packed]).decode(aMessage({ contentType, body }))).toBe('one');
      expect(new MessageDecoder([json, packed]).decode(aMessage({ contentType, body }))).toBe('one');
    }
  });

  it.each<[string, Partial<Message>, string]>([
    ['another content type', { contentType: 'text/html' }, 'The content type is not one that this bus decodes.'],
    [
      'a type without a type',
      { contentType: '; application/json' },
      'The content type is not one that this bus decodes.',
    ],
    ['a type of blanks', { contentType: '  ' }, 'The content type is not one that this bus decodes.'],
    ['a packed body', { contentEncoding: 'gzip' }, 'The content encoding is not one that this bus decodes.'],
    ['a body that is too large', { body: Buffer.alloc(11) }, 'The body has 11 bytes; the limit is 10.'],
  ])('refuses %s', (_, fields, message) => {
    expect(() => decode({ contentType: 'application/json', body: Buffer.from('1'), ...fields })).toThrow(
      new DecodeError(message),
    );
  });

  describe('with codings', () => {
    const sealed: Serializer = {
      contentType: 'application/json',
      contentEncodings: ['seal', 'gzip, seal'],
      encode: () => Buffer.of(),
      decode: (_, { contentEncoding }) => `opened ${contentEncoding}`,
    };
    const body = Buffer.from('1');

    it.each(['seal', ' SEAL', 'identity, seal', 'GZIP,seal', 'gzip , seal'])('reads %p', (contentEncoding) => {
      const one = aMessage({ contentType: 'application/json', contentEncoding, body });
      expect(new MessageDecoder([sealed]).decode(one)).toBe(`opened ${contentEncoding}`);
      expect(new MessageDecoder([json, sealed]).decode(one)).toBe(`opened ${contentEncoding}`);
    });

    it.each([undefined, '', 'gzip', 'seal, gzip', 'seal, seal'])(
      'refuses %p, which was not named',
      (contentEncoding) => {
        const decoding = (fields: Partial<Message>) => (): unknown =>
          new MessageDecoder([sealed]).decode(aMessage({ contentEncoding, body, ...fields } as Partial<Message>));
        expect(decoding({ contentType: 'application/json' })).toThrow('The content encoding is not one');
        expect(decoding({ contentType: '' })).toThrow('The content encoding is not one');
      },
    );

    it('reads both what is sealed and what is not, when told so', () => {
      const both = new MessageDecoder([sealed, json]);
      expect(both.decode(aMessage({ contentType: 'application/json', body }))).toBe(1);
      expect(both.decode(aMessage({ contentType: 'application/json', contentEncoding: 'seal' }))).toBe('opened seal');
    });
  });

  it('refuses a serializer that would never be asked, and says what to do instead', () => {
    const other = new JsonSerializer();
    const making =
      (...all: [Serializer, ...Serializer[]]) =>
      (): unknown =>
        new MessageDecoder(all);
    expect(making(json, text, other)).toThrow(ConfigurationError);
    expect(making(json, text, other)).toThrow(
      /^accept\[1\] would never be asked: .* reads application\/json already\./,
    );
    expect(making(json, other)).toThrow(/`keys` of encrypted.*`acceptPlain`/);
    const sealed = { ...text, contentEncodings: ['seal'] };
    expect(making(json, sealed, { ...sealed })).toThrow('reads text/plain (seal) already');
    // one that is asked for something
    expect(making(json, sealed, text)).not.toThrow();
    expect(making(text, { ...text, contentTypeAliases: ['text/x'] })).not.toThrow();
  });

  it.each([
    ['a promise that fails', (): unknown => Promise.reject(new Error('later'))],
    ['a promise', (): unknown => Promise.resolve(1)],
    // oxlint-disable-next-line unicorn/no-thenable -- as some libraries have promises
    ['what is like one', (): unknown => Object.fromEntries([['then', failing]])],
  ])('refuses %s from decode, and nobody else sees it fail', async (_, result) => {
    const unhandled: unknown[] = [];
    const note = (error: unknown): void => void unhandled.push(error);
    process.on('unhandledRejection', note);
    try {
      const own = new MessageDecoder([{ ...text, decode: result }]);
      expect(() => own.decode(aMessage({ contentType: 'text/plain' }))).toThrow(/must not be asynchronous/);
      await new Promise((resolve) => setImmediate(resolve));
      expect(unhandled).toEqual([]);
    } finally {
      process.off('unhandledRejection', note);
    }
  });

  it('says of a serializer that fails only that it did', () => {
    const failing = (): unknown => decode({ contentType: 'text/plain', body: Buffer.alloc(0) });
    expect(failing).toThrow(DecodeError);
    expect(failing).toThrow(/^The body cannot be decoded\.$/);
  });
});
