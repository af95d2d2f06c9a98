import { ConfigurationError } from '../core/errors.js';
import { LIMITS } from '../core/limits.js';
import { isWellFormed } from '../core/text.js';

/** AMQP carries topics and patterns as short strings; every transport keeps to that. */
export function assertWords(what: 'Topic' | 'Pattern', value: string): void {
  if (typeof value !== 'string') throw new ConfigurationError(`${what} must be a string.`);
  if (!isWellFormed(value)) {
    throw new ConfigurationError(`${what} has half of a surrogate pair, which cannot be sent. Was it cut in two?`);
  }
  // a string of n UTF-16 units has at least n bytes and at most 3n
  if (value.length * 3 <= LIMITS.topicBytes && value.length < LIMITS.topicWords) return;
  const bytes = Buffer.byteLength(value);
  if (bytes > LIMITS.topicBytes) {
    throw new ConfigurationError(
      `${what} "${value.slice(0, 32)}…" has ${bytes} bytes; the limit is ${LIMITS.topicBytes}.`,
    );
  }
  const words = value.split('.').length;
  if (words > LIMITS.topicWords) {
    throw new ConfigurationError(
      `${what} "${value.slice(0, 32)}…" has ${words} words; the limit is ${LIMITS.topicWords}.`,
    );
  }
}
