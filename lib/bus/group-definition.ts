import { ConfigurationError } from '../core/errors.js';
import { compareSpecificity, type ExchangeHandler } from '../core/exchange.js';
import { LIMITS } from '../core/limits.js';
import type { DeclareMode, QueueSettings, TransportCapabilities } from '../core/transport.js';
import type { BoundPattern } from './bound-pattern.js';
import type { BusExchanges } from './bus-exchanges.js';
import type { ConsumeGroupOptions } from './event-bus.options.js';
import type { Handler } from './handler.js';
import { checkRenames } from './rename-rules.js';
import { type GroupPolicy, qualify, type ResolvedOptions, resolvePolicy } from './resolved-options.js';

/** What handlers ask of their group besides the numbers of its policy; the same for all of one group. */
interface GroupTraits {
  /** Name of its exchange. Default: the main one. */
  readonly exchange?: string | undefined;
  readonly ordered?: 'key' | undefined;
  readonly startFrom?: 'new' | 'earliest' | undefined;
  readonly declare?: DeclareMode | undefined;
  readonly queue?: QueueSettings | undefined;
  /** Names that the group had before, without the namespace. */
  readonly renamedFrom?: readonly string[] | undefined;
  /** Patterns that it had before: on its exchange, or on the one that is named. */
  readonly unbind?: readonly (string | BoundPattern)[] | undefined;
  /** A message that it has handled within this time is not handled again. */
  readonly idempotent?: { readonly windowMs: number } | undefined;
  readonly batch?: BatchOptions | undefined;
}

export interface BatchOptions {
  /** Most events in one batch. */
  readonly size: number;
  /** How long the first event of a batch waits for others, in milliseconds. */
  readonly waitMs: number;
}

/** A handler with what its decorator asked for. */
export interface HandlerRegistration extends Handler, GroupTraits {
  /** Name of its group, without the namespace. */
  readonly group: string;
  readonly delivery: 'shared' | 'broadcast';
  /** The topic of the command that it handles; absent: events. */
  readonly command?: string | undefined;
  readonly policy: Omit<ConsumeGroupOptions, 'enabled'>;
}

/** Handlers that share one copy of each event, with one policy. */
export interface GroupDefinition extends GroupTraits {
  readonly name: string;
  readonly delivery: 'shared' | 'broadcast';
  readonly handlers: readonly HandlerRegistration[];
  readonly policy: GroupPolicy;
}

const TRAITS = [
  'exchange',
  'ordered',
  'startFrom',
  'declare',
  'queue',
  'renamedFrom',
  'unbind',
  'idempotent',
  'batch',
] as const;

function traitsOf(registration: GroupTraits): GroupTraits {
  return Object.fromEntries(TRAITS.map((name) => [name, registration[name]]));
}

/** RabbitMQ names have at most 255 bytes, and the longest suffix is `.retry.86400000`. */
const GROUP_NAME_BYTES = 240;

/**
 * Sorts handlers into groups.
 *
 * @throws ConfigurationError with every conflict, naming both places
 */
export function defineGroups(
  registrations: readonly HandlerRegistration[],
  options: ResolvedOptions,
  exchanges: BusExchanges,
  capabilities: TransportCapabilities,
): readonly GroupDefinition[] {
  const problems: string[] = [];
  const byName = new Map<string, HandlerRegistration[]>();
  for (const registration of registrations) {
    const members = byName.get(registration.group);
    if (members) members.push(registration);
    else byName.set(registration.group, [registration]);
  }
  const groups = [...byName].flatMap(([name, [first, ...others]]) => {
    if (!first) return [];
    const handlers = [first, ...others];
    const policy = resolvePolicy(options, name, first.policy, first.batch);
    const exchange = exchanges.find(first.exchange)?.events.exchange.handler;
    if (exchange) {
      checkRules(handlers, exchange, problems);
      checkRights(name, handlers, exchange, problems);
    } else problems.push(`${first.place}: ${exchanges.complaintAbout(first.exchange)}`);
    for (const other of others) checkSame(name, first, other, options, problems);
    checkKept(name, first, exchanges, problems);
    checkAlone(name, handlers, problems);
    const group: GroupDefinition = {
      name,
      delivery: first.delivery,
      handlers,
      policy,
      ...traitsOf(first),
    };
    checkGroup(group, first, qualify(options, name), capabilities, problems);
    return [group];
  });
  const readers = checkQueues(groups, options, problems);
  const usesHeaders = (name: string | undefined): boolean =>
    exchanges.find(name)?.events.exchange.handler.usesHeaders ?? false;
  checkRenames(groups, { main: exchanges.main.name, usesHeaders, readers, namespace: options.namespace }, problems);
  if (problems.length > 0) throw new ConfigurationError(problems);
  return groups;
}

function checkRules(handlers: readonly HandlerRegistration[], exchange: ExchangeHandler, problems: string[]): void {
  for (const { rules, place } of handlers) {
    for (const rule of rules) {
      try {
        exchange.assertRule(rule);
      } catch (error) {
        problems.push(`${place}: ${(error as Error).message}`);
      }
    }
  }
}

function checkRights(
  name: string,
  handlers: readonly HandlerRegistration[],
  exchange: ExchangeHandler,
  problems: string[],
): void {
  for (const [i, a] of handlers.entries()) {
    for (const b of handlers.slice(i + 1)) {
      const clash = a.rules
        .flatMap((left) => b.rules.map((right) => [left, right] as const))
        .find(
          ([left, right]) =>
            compareSpecificity(exchange.specificity(left), exchange.specificity(right)) === 0 &&
            exchange.overlap(left, right),
        );
      if (!clash || isOtherEvent(a, b)) continue;
      problems.push(
        `Group "${name}": ${a.place} ("${clash[0].pattern ?? ''}") and ${b.place} ("${clash[1].pattern ?? ''}") have equal right to the same events. Give one a more specific pattern, or each its own group.`,
      );
    }
  }
}

function checkSame(
  name: string,
  first: HandlerRegistration,
  other: HandlerRegistration,
  options: ResolvedOptions,
  problems: string[],
): void {
  const describe = (r: HandlerRegistration): Record<string, unknown> => {
    const { retry, ...numbers } = resolvePolicy(options, name, r.policy, r.batch);
    return {
      ...numbers,
      retry: retry.delaysMs.join(),
      retryable: retry.retryable,
      delivery: r.delivery,
      ...Object.fromEntries(TRAITS.map((trait) => [trait, JSON.stringify(r[trait])])),
    };
  };
  const left = describe(first);
  const right = describe(other);
  const different = Object.keys(left).filter((key) => left[key] !== right[key]);
  if (different.length === 0) return;
  problems.push(
    `Group "${name}": ${first.place} and ${other.place} ask for different ${different.join(', ')}. A group has one policy: give both the same options.`,
  );
}

/** A queue that keeps what no group gets, bound to anything else, would keep what others get too. */
function checkKept(
  name: string,
  { exchange, delivery, place }: HandlerRegistration,
  exchanges: BusExchanges,
  problems: string[],
): void {
  const alternate = exchanges.alternates.find(({ keptBy }) => keptBy === name);
  if (!alternate || delivery !== 'shared' || exchange === alternate.name) return;
  problems.push(
    `${place}: group "${name}" is the one for which events are kept that nobody else gets. Say exchange: "${alternate.name}" to handle them, or choose another group.`,
  );
}

function checkAlone(name: string, handlers: readonly HandlerRegistration[], problems: string[]): void {
  const [first, second] = handlers;
  if (!first || !second) return;
  const { command } = handlers.find((handler) => handler.command !== undefined) ?? {};
  if (command !== undefined) {
    problems.push(
      `Command "${command}": ${first.place} and ${second.place} both handle it. A command has exactly one handler: use an event for what several do.`,
    );
  }
  if (!handlers.some(({ batch }) => batch)) return;
  problems.push(
    `Group "${name}": ${first.place} and ${second.place} share it, and a batch goes to one handler. Give each its own group.`,
  );
}

/**
 * How long a delivery can be held in the worst case: it comes when every place is taken, by batches of one, and behind all the
 * others that may be sent ahead, from each of its `queues`; and a batch that is not full waits.
 */
function holdMs(
  { prefetch, concurrency, timeoutMs }: GroupPolicy,
  batch: BatchOptions | undefined,
  queues: number,
): number {
  const rounds = 1 + Math.ceil((queues * prefetch - concurrency) / ((batch?.size ?? 1) * concurrency));
  return rounds * timeoutMs + (batch?.waitMs ?? 0);
}

function checkGroup(
  { policy, ordered, startFrom, idempotent, batch, delivery, renamedFrom = [] }: GroupDefinition,
  { place }: HandlerRegistration,
  queue: string,
  capabilities: TransportCapabilities,
  problems: string[],
): void {
  if (Buffer.byteLength(queue) > GROUP_NAME_BYTES)
    problems.push(`${place}: the group name has more than ${GROUP_NAME_BYTES} bytes.`);
  const held = holdMs(policy, batch, 1 + renamedFrom.length);
  if (held > LIMITS.holdMs) {
    const inBatches = batch ? `, batches of ${batch.size} that wait ${batch.waitMs} ms` : '';
    const old = renamedFrom.length;
    const inherited = old > 0 ? `, and ${old} old name${old === 1 ? '' : 's'} with queues of their own,` : '';
    problems.push(
      `${place}: with prefetch ${policy.prefetch}, concurrency ${policy.concurrency} and timeoutMs ${policy.timeoutMs}${inBatches}${inherited} a delivery can be held for ${Math.ceil(held / 60_000)} minutes; the limit is 25. Lower prefetch or timeoutMs${old > 0 ? ', or drop a name of renamedFrom that is not needed any more' : ''}.`,
    );
  }
  if (ordered === 'key' && capabilities.ordered !== 'per-key') {
    problems.push(`${place}: ordered: 'key' is not supported by this transport.`);
  }
  if (idempotent && delivery === 'broadcast') {
    problems.push(
      `${place}: idempotent and delivery: 'broadcast' exclude each other: a broadcast reaches every instance once, and the inbox would stop it at all but one.`,
    );
  }
  const longestMs = Math.max(0, ...policy.retry.delaysMs);
  if (idempotent && idempotent.windowMs <= longestMs) {
    problems.push(
      `${place}: idempotent.windowMs is ${idempotent.windowMs}, and the longest retry delay ${longestMs} ms: a message would be forgotten before it comes again. Make the window longer than the delay.`,
    );
  }
  if (startFrom === 'earliest' && !capabilities.replay) {
    problems.push(`${place}: startFrom: 'earliest' is not supported by this transport as configured.`);
  }
}

/**
 * Whatever the transport is: what is wrong on a broker is wrong in tests in memory too.
 *
 * @returns who consumes which queue
 */
function checkQueues(
  groups: readonly GroupDefinition[],
  options: ResolvedOptions,
  problems: string[],
): ReadonlyMap<string, string> {
  const readers = new Map<string, string>();
  for (const { name, delivery, queue, handlers } of groups) {
    const place = handlers[0]?.place ?? name;
    if (delivery === 'broadcast') {
      if (queue)
        problems.push(
          `${place}: rabbitmq.${queue.name === undefined ? 'queueType, arguments and bind' : 'queue'} and delivery: 'broadcast' exclude each other: every instance has a private queue for its broadcasts.`,
        );
      continue;
    }
    const read = queue?.name ?? qualify(options, name);
    const other = readers.get(read);
    readers.set(read, place);
    if (other !== undefined)
      problems.push(
        `${other} and ${place} are different groups that consume the same queue "${read}": each would get a part of its messages. Give both the same group.`,
      );
  }
  return readers;
}

function isOtherEvent(a: Handler, b: Handler): boolean {
  return (
    a.event !== undefined &&
    b.event !== undefined &&
    (a.event.type !== b.event.type || a.event.version !== b.event.version)
  );
}
