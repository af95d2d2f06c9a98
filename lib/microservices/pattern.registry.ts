import { isDeepStrictEqual } from 'node:util';
import type { MessageHandler } from '@nestjs/microservices';
import { commandGroup } from '../bus/command-group.js';
import type { HandlerRegistration } from '../bus/group-definition.js';
import { ConfigurationError } from '../core/errors.js';
import { DEFAULTS } from '../core/limits.js';
import { type EventPatternExtras, pickExtras } from './pattern.extras.js';

/** What is registered for one pattern: several methods for an event, one for a message. */
export interface PatternHandlers {
  /** Several where one method asks for all of them under the name of one group. */
  readonly patterns: string[];
  readonly isEvent: boolean;
  readonly callbacks: MessageHandler[];
  readonly extras: EventPatternExtras;
  place: string;
  /** The same object for all patterns of one method. */
  readonly source: Readonly<Record<string, unknown>>;
}

export interface NamedAfter {
  readonly service: string | undefined;
  /** Of the main exchange, without the namespace. */
  readonly exchange: string;
}

export type Behaviour = Pick<HandlerRegistration, 'invoke' | 'classify' | 'explain' | 'refuse'>;

/** The handlers that Nest has found, as handlers of the bus. */
export class PatternRegistry {
  private readonly found: PatternHandlers[] = [];
  private readonly problems: string[] = [];

  get hasMessages(): boolean {
    return this.found.some(({ isEvent }) => !isEvent);
  }

  /** @param route the pattern as text; of an object as Nest writes it */
  add(route: string, callback: MessageHandler, isEvent: boolean, extras: Readonly<Record<string, unknown>>): void {
    const place = `@${isEvent ? 'Event' : 'Message'}Pattern('${route}')`;
    const picked = pickExtras(extras, place, isEvent, this.problems);
    const known = this.found.find(
      (one) => one.isEvent === isEvent && one.patterns.includes(route) && one.extras.group === picked.group,
    );
    const ofMethod = this.found.find((one) => isEvent && picked.group !== undefined && one.source === extras);
    if (ofMethod && ofMethod === known) {
      // another instance of its class; all its patterns run the same method
      if (route === known.patterns[0]) known.callbacks.push(callback);
    } else if (ofMethod && !known) {
      ofMethod.patterns.push(route);
      ofMethod.place = `@EventPattern(${ofMethod.patterns.map((pattern) => `'${pattern}'`).join(', ')})`;
    } else if (!known)
      this.found.push({ patterns: [route], isEvent, callbacks: [callback], extras: picked, place, source: extras });
    else if (!isEvent) this.problems.push(`${place} is there twice: a message has one handler.`);
    else if (!isDeepStrictEqual(known.extras, picked))
      this.problems.push(`${place} is there twice with different extras. Give both the same, or each its own group.`);
    else known.callbacks.push(callback);
  }

  /** @throws ConfigurationError with every problem */
  registrations(names: NamedAfter, behave: (handlers: PatternHandlers) => Behaviour): readonly HandlerRegistration[] {
    const problems = [...this.problems];
    const groups = new Map<string, PatternHandlers>();
    const all = this.found.flatMap((handlers) => {
      try {
        const group = groupOf(handlers, names);
        const other = groups.get(group);
        if (other)
          problems.push(
            `${other.place} and ${handlers.place} have the same group "${group}". Give one a group of its own.`,
          );
        groups.set(group, handlers);
        return [{ ...describe(handlers, group), ...behave(handlers) }];
      } catch (error) {
        if (!(error instanceof ConfigurationError)) throw error;
        problems.push(...error.problems.map((problem) => `${handlers.place}: ${problem}`));
        return [];
      }
    });
    if (problems.length > 0) throw new ConfigurationError(problems);
    return all;
  }
}

function groupOf(
  { patterns: [pattern = ''], isEvent, extras }: PatternHandlers,
  { service, exchange }: NamedAfter,
): string {
  if (!isEvent) return commandGroup(exchange, pattern);
  if (extras.group === undefined) return `${service ?? 'app'}.${asName(pattern)}`;
  if (extras.delivery !== 'broadcast') return extras.group;
  throw new ConfigurationError(
    `group and delivery: 'broadcast' exclude each other: a broadcast reaches every instance.`,
  );
}

/** What names of groups may hold. */
function asName(pattern: string): string {
  const words = pattern.split('.').map((word) => (word === '*' ? 'any' : word === '#' ? 'all' : word));
  return words.join('.').replaceAll(/[^\w.:-]+/g, '-');
}

function describe(
  { patterns, isEvent, extras, place }: PatternHandlers,
  group: string,
): Omit<HandlerRegistration, 'invoke'> {
  const {
    group: _group,
    renamedFrom,
    unbind,
    exchange,
    delivery = 'shared',
    headers,
    match,
    ordered,
    startFrom,
    idempotent,
    ...policy
  } = extras;
  const rules = patterns.map((pattern) => ({ pattern, ...(headers && { headers }), ...(match && { match }) }));
  return {
    place,
    group,
    delivery,
    rules: isEvent ? rules : [],
    exchange,
    policy,
    ordered,
    startFrom,
    renamedFrom: renamedFrom === undefined ? undefined : [renamedFrom].flat(),
    unbind: unbind === undefined ? undefined : [unbind].flat(),
    idempotent: idempotent
      ? { windowMs: DEFAULTS.idempotencyWindowMs, ...(idempotent !== true && idempotent) }
      : undefined,
  };
}
