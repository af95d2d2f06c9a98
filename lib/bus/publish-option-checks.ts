import { ANY, abortSignal, bool, integer, oneOf, shape, text } from '../core/options.js';
import { UNROUTABLE_POLICIES } from './unroutable-policy.js';

const WORDS = text(/^[^\0]{1,255}$/, 'at most 255 characters');

/** What a message can be told to say of itself. */
export const MESSAGE_CHECKS = {
  id: text(/^[\x20-\x7e]{1,255}$/, '1 to 255 printable ASCII characters'),
  type: WORDS,
  headers: ANY,
  key: WORDS,
  correlationId: WORDS,
  causationId: WORDS,
} as const;

/** The options of one publish. */
export const PUBLISH_OPTIONS = shape({
  ...MESSAGE_CHECKS,
  exchange: text(),
  expiresInMs: integer(1, 2 ** 40),
  delayMs: integer(0, 30 * 86_400_000),
  timeoutMs: integer(1, 86_400_000),
  unroutable: oneOf(UNROUTABLE_POLICIES),
  signal: abortSignal,
  background: bool,
});
