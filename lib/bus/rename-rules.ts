import { LIMITS } from '../core/limits.js';
import type { GroupDefinition } from './group-definition.js';
import { qualify } from './resolved-options.js';

export interface RenameSurroundings {
  /** Name of the main exchange, without the namespace. */
  readonly main: string;
  /** Whether an exchange routes by headers. */
  readonly usesHeaders: (exchange: string | undefined) => boolean;
  /** Who consumes which queue. */
  readonly readers: ReadonlyMap<string, string>;
  readonly namespace: string | undefined;
}

/** What is wrong with the names and patterns that groups had before. */
export function checkRenames(
  groups: readonly GroupDefinition[],
  { main, usesHeaders, readers, namespace }: RenameSurroundings,
  problems: string[],
): void {
  const present = new Set(groups.map(({ name }) => name));
  const heirs = new Map<string, string>();
  for (const { name, delivery, handlers, declare, queue, exchange, renamedFrom = [], unbind = [] } of groups) {
    const place = handlers[0]?.place ?? name;
    if (delivery === 'broadcast' && renamedFrom.length + unbind.length > 0)
      problems.push(`${place}: renamedFrom and unbind are for queues that last; a broadcast handler has none.`);
    for (const old of renamedFrom) {
      const heir = heirs.get(old);
      const queue = qualify({ namespace }, old);
      const reader = readers.get(queue);
      if (present.has(old))
        problems.push(
          `${place}: renamedFrom names "${old}", which is a group of this application: leave one of them out.`,
        );
      else if (heir !== undefined)
        problems.push(`${place}: renamedFrom names "${old}", which ${heir} takes over already.`);
      if (!present.has(old) && reader !== undefined)
        problems.push(
          `${place}: renamedFrom names "${old}", and ${reader} consumes the queue "${queue}", which would be unbound and removed. Leave one of them out.`,
        );
      heirs.set(old, place);
    }
    const asked = handlers.flatMap(({ rules }) => rules.map(({ pattern }) => pattern));
    const own = exchange ?? main;
    const former = unbind.map((one) => (typeof one === 'string' ? { exchange: own, pattern: one } : one));
    for (const { exchange: where, pattern } of former) {
      if (where === own && asked.includes(pattern))
        problems.push(`${place}: unbind names "${pattern}", which the group asks for.`);
      if (Buffer.byteLength(qualify({ namespace }, where)) > LIMITS.topicBytes)
        problems.push(
          `${place}: unbind names an exchange of more than ${LIMITS.topicBytes} bytes, which no broker has.`,
        );
      if (Buffer.byteLength(pattern) > LIMITS.topicBytes)
        problems.push(
          `${place}: unbind has a pattern of more than ${LIMITS.topicBytes} bytes, which nothing can be bound to.`,
        );
    }
    const isBound = queue?.bind ?? (declare === undefined || declare === 'assert');
    if (!isBound && unbind.length > 0)
      problems.push(
        `${place}: unbind does nothing where the bindings are made by hand (rabbitmq.assert, rabbitmq.bind).`,
      );
    for (const where of new Set(former.map((one) => one.exchange))) {
      if (!usesHeaders(where)) continue;
      problems.push(
        `${place}: unbind takes patterns, and exchange "${where}" routes by headers. Remove the binding by hand.`,
      );
    }
  }
}
