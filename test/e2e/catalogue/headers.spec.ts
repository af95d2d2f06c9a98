import { describe, expect, it } from '@jest/globals';
import type { BindingHeaders, Headers } from '../../../lib/index.js';
import { onBus, PLACES, type Stand } from '../../support/catalogue.js';

const pdf: BindingHeaders = { format: 'pdf', department: 'engineering' };

/** Publishes with headers; what reaches nobody must say so. */
async function send({ bus }: Stand, payload: unknown, headers: Headers, routed: boolean): Promise<void> {
  const receipt = await bus.publish('documents', payload, { headers, unroutable: 'ignore' });
  expect(receipt.routed).toBe(routed);
}

describe.each(PLACES)('catalogue on %s: headers', (_, url) => {
  const on = (body: (stand: Stand) => Promise<void>) => onBus(url, 'headers', body);

  it(
    '0042 all headers, and one more',
    on(async (stand) => {
      const seen = await stand.listen('', { headers: pdf });
      await send(stand, 1, { ...pdf, extra: 'yes' } as Headers, true);
      expect(await seen.settle(1)).toEqual([1]);
    }),
  );

  it(
    '0043 any of the headers',
    on(async (stand) => {
      const seen = await stand.listen('', { headers: { format: 'pdf', priority: 'high' }, match: 'any' });
      await send(stand, 1, { format: 'txt', priority: 'high' }, true);
      expect(await seen.settle(1)).toEqual([1]);
    }),
  );

  it(
    '0044 two bindings get one and two',
    on(async (stand) => {
      const both = await stand.listen('', { headers: pdf });
      const one = await stand.listen('', { headers: { format: 'pdf' } });
      await send(stand, 1, { format: 'pdf', department: 'engineering' }, true);
      await send(stand, 2, { format: 'pdf', department: 'sales' }, true);
      expect(await one.settle(2)).toEqual([1, 2]);
      expect(await both.settle(1)).toEqual([1]);
    }),
  );

  it(
    '0045 five events arrive in order',
    on(async (stand) => {
      const seen = await stand.listen('', { headers: { format: 'pdf' } });
      for (const n of [1, 2, 3, 4, 5]) await send(stand, n, { format: 'pdf' }, true);
      expect(await seen.settle(5)).toEqual([1, 2, 3, 4, 5]);
    }),
  );

  it(
    '0046 no header as asked for: nobody gets it',
    on(async (stand) => {
      const seen = await stand.listen('', { headers: pdf, match: 'any' });
      await send(stand, 1, { format: 'txt', department: 'sales' }, false);
      await send(stand, 2, {}, false);
      await send(stand, 'last', { format: 'pdf' }, true);
      expect(await seen.settle(1)).toEqual(['last']);
    }),
  );

  it(
    '0047 some of all headers: nobody gets it',
    on(async (stand) => {
      const seen = await stand.listen('', { headers: pdf });
      await send(stand, 1, { format: 'pdf' }, false);
      await send(stand, 2, { format: 'pdf', department: 'sales' }, false);
      await send(stand, 'last', { format: 'pdf', department: 'engineering' }, true);
      expect(await seen.settle(1)).toEqual(['last']);
    }),
  );

  // beyond the catalogue, whose headers exchange knew it but never tested it
  it(
    'null asks that a header is there, of whatever value',
    on(async (stand) => {
      const seen = await stand.listen('', { headers: { signedBy: null } });
      await send(stand, 1, { signedBy: 'eva' }, true);
      await send(stand, 2, { signedBy: 0 }, true);
      await send(stand, 3, { format: 'pdf' }, false);
      expect(await seen.settle(2)).toEqual([1, 2]);
    }),
  );
});
