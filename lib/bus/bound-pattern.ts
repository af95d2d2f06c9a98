import { anyText, type Check, either, listOf, shape, text } from '../core/options.js';

/** A pattern with the exchange on which a group was bound to it. */
export interface BoundPattern {
  /** Its name as in the options, also when it is not there any more. */
  readonly exchange: string;
  readonly pattern: string;
}

const BOUND_PATTERN: Check = (value, path, problems) => {
  shape({ exchange: text(), pattern: anyText })(value, path, problems);
  const { exchange, pattern } = value as Partial<BoundPattern>;
  if (exchange === undefined || pattern === undefined) problems.push(`${path} needs exchange and pattern.`);
};

const ONE = either((value) => (typeof value === 'object' && value !== null ? BOUND_PATTERN : text()));

/** The option `unbind`. */
export const UNBIND: Check = either((value) => (Array.isArray(value) ? listOf(ONE, 1) : ONE));
