import type { BindingRule } from '../../../lib/core/exchange.js';
import type { Headers } from '../../../lib/core/message.js';

/** Answers by hand, from the rules of AMQP's headers exchange. */
export const HEADERS_TABLE: readonly (readonly [rule: BindingRule, headers: Headers, matches: boolean])[] = [
  // all, which is the default
  [{ headers: { format: 'pdf', department: 'engineering' } }, { format: 'pdf', department: 'engineering', x: 1 }, true],
  [{ headers: { format: 'pdf', department: 'engineering' } }, { format: 'pdf' }, false],
  [{ headers: { format: 'pdf', department: 'engineering' } }, { format: 'pdf', department: 'sales' }, false],
  [{ headers: { format: 'pdf' }, match: 'all' }, { format: 'pdf' }, true],
  [{ headers: { format: 'pdf' }, match: 'all' }, {}, false],
  // any
  [{ headers: { format: 'pdf', priority: 'high' }, match: 'any' }, { priority: 'high' }, true],
  [{ headers: { format: 'pdf', priority: 'high' }, match: 'any' }, { format: 'txt', priority: 'high' }, true],
  [{ headers: { format: 'pdf', priority: 'high' }, match: 'any' }, { format: 'txt', priority: 'low' }, false],
  [{ headers: { format: 'pdf' }, match: 'any' }, {}, false],
  // nothing asked for
  [{}, {}, true],
  [{}, { x: 1 }, true],
  [{ headers: {} }, { x: 1 }, true],
  [{ headers: {}, match: 'any' }, { x: 1 }, false],
  // null: it must only be there
  [{ headers: { format: null } }, { format: 'pdf' }, true],
  [{ headers: { format: null } }, { format: '' }, true],
  [{ headers: { format: null } }, { format: false }, true],
  [{ headers: { format: null } }, { format: 0 }, true],
  [{ headers: { format: null } }, { other: 'pdf' }, false],
  [{ headers: { format: null, pages: 3 } }, { format: 'pdf', pages: 3 }, true],
  [{ headers: { format: null, pages: 3 } }, { format: 'pdf', pages: 4 }, false],
  [{ headers: { format: null, pages: 3 }, match: 'any' }, { format: 'pdf' }, true],
  [{ headers: { format: null, pages: 3 }, match: 'any' }, { pages: 4 }, false],
  // values have types
  [{ headers: { x: 1 } }, { x: 1 }, true],
  [{ headers: { x: 1 } }, { x: '1' }, false],
  [{ headers: { x: 1 } }, { x: true }, false],
  [{ headers: { x: '1' } }, { x: 1 }, false],
  [{ headers: { x: true } }, { x: true }, true],
  [{ headers: { x: true } }, { x: 'true' }, false],
  [{ headers: { x: true } }, { x: 1 }, false],
  [{ headers: { x: false } }, { x: false }, true],
  [{ headers: { x: false } }, { x: '' }, false],
  [{ headers: { x: false } }, { x: 0 }, false],
  [{ headers: { x: '' } }, { x: '' }, true],
  [{ headers: { x: 'A' } }, { x: 'a' }, false],
  [{ headers: { X: 1 } }, { x: 1 }, false],
  // numbers of any size
  [{ headers: { x: 127 } }, { x: 128 }, false],
  ...[-0, 127, 128, -129, 40_000, -40_000, 3e9, -3e9, 2 ** 49, 2 ** 53 - 1, 2 ** 53, -(2 ** 53), 2 ** 60, 2 ** 63].map(
    (x) => [{ headers: { x } }, { x }, true] as const,
  ),
  ...[0.1, 1.5, -1.5, 5e-324, 2 ** 50 + 0.5, 1e300, -1e300, Number.MAX_VALUE].map(
    (x) => [{ headers: { x } }, { x }, true] as const,
  ),
  [{ headers: { x: 0 } }, { x: -0 }, true],
  [{ headers: { x: -0 } }, { x: 0 }, true],
  [{ headers: { x: 1.5 } }, { x: 1 }, false],
  [{ headers: { x: 1.5 } }, { x: '1.5' }, false],
  [{ headers: { x: 2 ** 53 } }, { x: 2 ** 53 - 1 }, false],
  [{ headers: { x: 0.1 + 0.2 } }, { x: 0.3 }, false],
];
