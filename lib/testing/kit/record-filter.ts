import { type EventClass, type EventDefinition } from '../../bus/event-definition.js';
import { EventRegistry } from '../../bus/event-registry.js';
import { ConfigurationError } from '../../core/errors.js';
import { topicMatches } from '../../exchanges/topic-matcher.js';
import type { MessageRecord } from './test-records.js';

/** Which records are meant: a pattern of topics (`orders.*`), a class with `@Event`, a definition, or what a function says. */
export type RecordFilter<R, T = unknown> = string | EventClass<T> | EventDefinition<T> | ((record: R) => boolean);

/** @throws ConfigurationError for something else */
export function toPredicate<R extends MessageRecord>(what: RecordFilter<R> | undefined): (record: R) => boolean {
  if (what === undefined) return () => true;
  if (typeof what === 'string') return ({ topic }) => topicMatches(what, topic);
  const definition = new EventRegistry().find(what);
  if (definition) return ({ message }) => isOf(definition, message);
  if (typeof what === 'function' && !isClass(what)) return what as (record: R) => boolean;
  throw new ConfigurationError(
    `${nameOf(what)} does not say which events are meant: give a pattern of topics, a class with @Event, a definition of defineEvent(), or a function.`,
  );
}

/** As people call it. */
export function describeFilter(what: RecordFilter<never> | undefined): string {
  if (what === undefined) return 'anything';
  if (typeof what === 'string') return `"${what}"`;
  const definition = new EventRegistry().find(what);
  const name = typeof what === 'function' ? what.name : '';
  if (definition) return name === '' ? `"${definition.topic}"` : `${name} ("${definition.topic}")`;
  return name === '' ? 'what the function says' : `what ${name}() says`;
}

/** As a handler of that event understands it: a message without a type was published by its topic only. */
function isOf({ topic, version = 1 }: EventDefinition, message: MessageRecord['message']): boolean {
  const { type } = message;
  return message.topic === topic && (type === '' || type === topic) && (message.version ?? 1) === version;
}

function isClass(value: object): boolean {
  return Function.prototype.toString.call(value).startsWith('class');
}

function nameOf(value: unknown): string {
  return typeof value === 'function' ? value.name || 'An anonymous class' : `A value of the type ${typeof value}`;
}
