import { IdSource } from '../core/id-source.js';
import type { InboxStore } from '../core/inbox.js';
import { BatchRunner } from './batch-runner.js';
import { SharedPlaces } from './concurrency.js';
import type { ConsumptionOptions } from './consumption.js';
import { Dispatcher } from './dispatcher.js';
import { GroupCounters } from './event-bus.stats.js';
import type { GroupDefinition } from './group-definition.js';
import { GroupInbox } from './group-inbox.js';
import { GroupRunner } from './group-runner.js';
import type { HandlerMatcher } from './handler-matcher.js';
import { MemoryInboxStore } from './memory-inbox.store.js';
import { qualify } from './resolved-options.js';
import type { Runner } from './runner.js';

/** Makes what runs a group: all of them share the places of the process, and one inbox. */
export class RunnerFactory {
  private readonly places: SharedPlaces;
  private inbox: { readonly store: InboxStore; readonly ids: IdSource } | undefined;
  private isWarned = false;

  constructor(private readonly parts: ConsumptionOptions) {
    this.places = new SharedPlaces(parts.options.consume.maxConcurrency);
  }

  create(definition: GroupDefinition, matcher: HandlerMatcher): Runner {
    const { options, transport, decoder, scope, logger, emit, registry, middleware, watch } = this.parts;
    const { name: group, policy, batch, delivery } = definition;
    const { concurrency, timeoutMs } = policy;
    const { places } = this;
    const counters = new GroupCounters();
    const [handler] = definition.handlers;
    const dispatcher = new Dispatcher({
      group,
      matcher,
      retry: policy.retry,
      unmatched: delivery === 'broadcast' ? undefined : options.consume.unmatched,
      timeoutMs,
      decoder,
      delay: delivery === 'broadcast' ? 'exact' : transport.capabilities.delay,
      counters,
      scope,
      emit,
      registry,
      middleware,
      refuse: handler?.refuse && ((message, error) => handler.refuse?.(message, error) ?? false),
      inbox: this.inboxOf(definition),
    });
    const common = { group, concurrency, timeoutMs, places, dispatcher, counters, logger, watch };
    return batch && handler ? new BatchRunner({ ...common, ...batch, handler, scope }) : new GroupRunner(common);
  }

  private inboxOf({ name, idempotent, renamedFrom, policy }: GroupDefinition): GroupInbox | undefined {
    if (!idempotent) return undefined;
    const { options, logger } = this.parts;
    const { timeoutMs } = policy;
    const { windowMs } = idempotent;
    this.inbox ??= { store: this.parts.inbox ?? new MemoryInboxStore(), ids: new IdSource() };
    if (policy.enabled) this.warnOfMemory(name, this.inbox.store);
    // while it is renamed, both names are at work: each must know what the other has done
    const scope = qualify(options, renamedFrom?.at(-1) ?? name);
    return new GroupInbox({ ...this.inbox, group: name, scope, timeoutMs, windowMs, logger });
  }

  /** Once, for the first group that is consumed here. */
  private warnOfMemory(group: string, store: InboxStore): void {
    const { transport, logger } = this.parts;
    if (this.isWarned || !transport.capabilities.durable || !(store instanceof MemoryInboxStore)) return;
    this.isWarned = true;
    logger.warn(
      `${group} is idempotent, but what was handled is remembered in the memory of this process: a duplicate that reaches another process or comes after a restart is not recognized. Set inbox to a store that all instances share.`,
    );
  }
}
