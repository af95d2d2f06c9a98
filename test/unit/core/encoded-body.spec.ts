import { runInNewContext } from 'node:vm';
import { describe, expect, it } from '@jest/globals';
import { encodedOf } from '../../../lib/core/encoded-body.js';
import { ValidationError } from '../../../lib/core/errors.js';
import { caught } from '../support/caught.js';

describe('encodedOf', () => {
  it('takes bytes, and bytes with what is said of them', () => {
    const body = Buffer.from('x');
    expect(encodedOf(body)).toEqual({ body });
    expect(encodedOf(body).body).toBe(body);
    const all = { body, contentType: 'a/b', contentEncoding: 'gzip', headers: { a: 1 } };
    expect(encodedOf(all)).toEqual(all);
    expect(encodedOf({ body, contentType: undefined })).toEqual({ body });
  });

  it('takes bytes of another realm, and makes them ours', () => {
    const foreign: unknown = runInNewContext('new Uint8Array([0, 1, 2, 3]).subarray(1, 3)');
    for (const { body } of [encodedOf(foreign), encodedOf({ body: foreign })]) {
      expect(body instanceof Uint8Array).toBe(true);
      expect([...body]).toEqual([1, 2]);
    }
  });

  it.each<[string, unknown, RegExp]>([
    ['nothing', undefined, /must return a Uint8Array.*not undefined/],
    ['null', null, /not null/],
    ['a text', 'c4n4ry', /not a string/],
    ['an object', {}, /one as its body/],
    ['a text as the body', { body: 'c4n4ry' }, /one as its body/],
    ['a buffer that is no view', new ArrayBuffer(1), /one as its body/],
    ['another view', new Uint16Array(1), /one as its body/],
    ['a type that is no text', { body: Buffer.of(), contentType: 1 }, /contentType/],
    ['an empty type', { body: Buffer.of(), contentType: '' }, /contentType/],
    ['a coding that is no text', { body: Buffer.of(), contentEncoding: ['gzip'] }, /contentEncoding/],
    ['headers that are none', { body: Buffer.of(), headers: 'c4n4ry' }, /headers/],
  ])('refuses %s', (_, result, why) => {
    const error = caught(() => encodedOf(result));
    expect(error).toBeInstanceOf(ValidationError);
    expect(error).toMatchObject({ code: 'UNSERIALIZABLE' });
    expect(error.message).toMatch(why);
    expect(error.message).not.toContain('c4n4ry');
  });

  it('refuses a promise, and nobody else sees it fail', async () => {
    const unhandled: unknown[] = [];
    const note = (error: unknown): void => void unhandled.push(error);
    process.on('unhandledRejection', note);
    try {
      for (const fails of [Promise.reject(new Error('later')), { body: Promise.reject(new Error('later')) }])
        expect(caught(() => encodedOf(fails)).message).toContain('must return a Uint8Array');
      expect(caught(() => encodedOf(Promise.resolve())).message).toContain('must not be asynchronous');
      await new Promise((resolve) => setImmediate(resolve));
      expect(unhandled).toEqual([]);
    } finally {
      process.off('unhandledRejection', note);
    }
  });
});
