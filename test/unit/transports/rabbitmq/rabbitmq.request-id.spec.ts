import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { expiryOf, withExpiry, withoutExpiry } from '../../../../lib/transports/rabbitmq/rabbitmq.request-id.js';

const AT = 1_800_000_000_000;

describe('the id of a request', () => {
  it('says by when it must be started, so that an operator can read it', () => {
    expect(withExpiry('a-1', AT)).toBe('a-1;expires=1800000000000');
  });

  it('gives back what was written, whatever the id is', () => {
    const ids = fc.oneof(
      fc.string({ maxLength: 50 }),
      fc.string({ maxLength: 9 }).map((id) => `${id};expires=${AT}`),
    );
    fc.assert(
      fc.property(ids, fc.integer({ min: 1e12, max: 9_999_999_999_999 }), (id, expiresAt) => {
        const written = withExpiry(id, expiresAt) ?? '';
        expect([withoutExpiry(written), expiryOf(written)]).toEqual([id, expiresAt]);
      }),
    );
  });

  it.each([
    ['has no room for it', 'x'.repeat(234), AT],
    ['has no room for it in bytes', 'é'.repeat(120), AT],
    ['is due before 2001', 'a', 999_999_999_999],
    ['is due after 2286', 'a', 10_000_000_000_000],
    ['is due between two milliseconds', 'a', AT + 0.5],
    ['is never due', 'a', Number.POSITIVE_INFINITY],
  ])('does not say so of one that %s', (_, id, expiresAt) => {
    expect(withExpiry(id, expiresAt)).toBeUndefined();
  });

  it.each([
    '',
    'a',
    ';expires=',
    'a;expires=180000000000',
    'a;expires=18000000000000',
    'a;expires=180000000000x',
    'a;expires=-180000000000',
  ])('of another program says nothing: %j', (id) => {
    expect(expiryOf(id)).toBeUndefined();
  });
});
