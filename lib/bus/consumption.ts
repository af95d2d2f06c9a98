import type { Delays } from '../core/delays.js';
import { BusClosedError } from '../core/errors.js';
import type { Binding, BindingRule } from '../core/exchange.js';
import { describeError } from '../core/failure.js';
import type { InboxStore } from '../core/inbox.js';
import type { BusLogger } from '../core/logger.js';
import type { Message } from '../core/message.js';
import type { Middleware } from '../core/pipeline.js';
import type { ConsumeEvents, Consumer, Source, Transport } from '../core/transport.js';
import type { BusExchange, BusExchanges, ExchangeTarget } from './bus-exchanges.js';
import type { DeliveryWatch } from './delivery-watch.js';
import type { GroupStats } from './event-bus.stats.js';
import type { EmitEvent, EventContext } from './event-context.js';
import type { EventRegistry } from './event-registry.js';
import type { GroupDefinition } from './group-definition.js';
import { HandlerMatcher } from './handler-matcher.js';
import type { HandlerScope } from './handler-scope.js';
import type { MessageDecoder } from './message-decoder.js';
import { BroadcastHub, PrivateRetries } from './private-delivery.js';
import { qualify, type ResolvedOptions } from './resolved-options.js';
import { RunnerFactory } from './runner.factory.js';
import type { Runner } from './runner.js';

export interface ConsumptionOptions {
  readonly options: ResolvedOptions;
  readonly transport: Transport;
  readonly exchanges: BusExchanges;
  readonly decoder: MessageDecoder;
  readonly scope: HandlerScope;
  readonly logger: BusLogger;
  readonly emit: EmitEvent;
  readonly registry: EventRegistry;
  readonly middleware?: readonly Middleware<EventContext>[] | undefined;
  /** Default: in the memory of this process. */
  readonly inbox?: InboxStore | undefined;
  readonly watch?: DeliveryWatch | undefined;
  /** Default: timers. */
  readonly delays?: Delays | undefined;
}

/** A group with all that makes it run in this process. */
export class ActiveGroup {
  readonly consumers: Consumer[] = [];
  readonly retries: PrivateRetries;
  /** Whether it should consume, even if it does not yet. */
  isStarting = false;
  private readonly wanted: HandlerMatcher;

  constructor(
    readonly definition: GroupDefinition,
    readonly source: Source,
    readonly runner: Runner,
    matcher: HandlerMatcher,
    onGap?: () => void,
    delays?: Delays,
  ) {
    this.wanted = matcher;
    this.retries = new PrivateRetries(runner, onGap, definition.name, delays);
  }

  readonly wants = (message: Message): boolean => {
    try {
      return this.wanted.find(message) !== undefined;
    } catch {
      return true; // a routing rule that throws: the dispatcher meets the error and decides
    }
  };

  get state(): Consumer['state'] | 'idle' {
    return this.consumers[0]?.state ?? (this.isStarting ? 'recovering' : 'idle');
  }

  stop(): void {
    this.runner.stop();
    this.retries.stop();
  }

  async close(deadlineMs: number): Promise<void> {
    // cancelled first: what is given back before would come straight back, and each return counts at the broker
    const closed = this.consumers.map((consumer) => consumer.close({ deadlineMs }));
    this.stop();
    await Promise.all(closed);
    this.runner.dispose();
  }
}

/** The way in: groups, their sources and runners, their consumers. */
export class Consumption {
  readonly groups = new Set<ActiveGroup>();
  private readonly runners: RunnerFactory;
  private isClosed = false;
  private readonly hubs: { readonly hub: BroadcastHub; readonly consumer: Consumer }[] = [];

  constructor(private readonly parts: ConsumptionOptions) {
    this.runners = new RunnerFactory(parts);
  }

  add(definition: GroupDefinition, onGap?: () => void): ActiveGroup {
    this.warnOfLiterals(definition);
    const { handler } = this.exchangeOf(definition).events.exchange;
    const matcher = new HandlerMatcher(handler, definition.handlers);
    const runner = this.runners.create(definition, matcher);
    const { delays } = this.parts;
    const told = onGap && this.guarded(onGap);
    const group = new ActiveGroup(definition, this.sourceOf(definition), runner, matcher, told, delays);
    this.groups.add(group);
    return group;
  }

  /** The source of a group that is known here, by its full name. */
  findSource(group: string): Source | undefined {
    for (const { source } of this.groups) if (source.group === group) return source;
    return undefined;
  }

  /** Consumes for one group: its durable queue, or its private one. */
  async start(group: ActiveGroup, signal?: AbortSignal): Promise<void> {
    group.isStarting = true;
    const events: ConsumeEvents = group.definition.delivery === 'broadcast' ? group.retries : group.runner;
    group.consumers.push(await this.consume(group.source, events, signal));
  }

  /** What consumes the broadcasts for all shared groups: for each exchange one private queue. */
  hubStarts(groups: readonly ActiveGroup[]): readonly (() => Promise<void>)[] {
    const byTarget = new Map<ExchangeTarget, ActiveGroup[]>();
    for (const group of groups) {
      if (rulesOf(group.definition).length === 0) continue; // it has a queue of its own, and no part in any exchange
      const { broadcasts } = this.exchangeOf(group.definition);
      if (broadcasts) byTarget.set(broadcasts, [...(byTarget.get(broadcasts) ?? []), group]);
    }
    return [...byTarget].map(([target, members]) => async () => {
      const hub = new BroadcastHub(members);
      this.hubs.push({ hub, consumer: await this.consume(this.broadcastSource(target, members), hub) });
    });
  }

  async startBroadcasts(group: ActiveGroup, signal?: AbortSignal): Promise<void> {
    const { broadcasts } = this.exchangeOf(group.definition);
    if (!broadcasts) return;
    group.consumers.push(await this.consume(this.broadcastSource(broadcasts, [group]), group.retries, signal));
  }

  async remove(group: ActiveGroup, deadlineMs: number): Promise<void> {
    this.groups.delete(group);
    await group.close(deadlineMs);
  }

  /** Stops everything at once, waits for what runs, by the deadline. */
  async close(deadlineMs: number): Promise<void> {
    this.isClosed = true;
    const closed = [...this.groups].map((group) => group.close(deadlineMs));
    for (const { hub, consumer } of this.hubs) {
      closed.push(consumer.close({ deadlineMs }));
      hub.stop();
    }
    await Promise.all(closed);
  }

  stats(): Readonly<Record<string, GroupStats>> {
    return Object.fromEntries([...this.groups].map(({ definition, runner }) => [definition.name, runner.stats()]));
  }

  /** A consumer that starts while everything stops is stopped too: nobody is left who could handle what it brings. */
  private async consume(source: Source, events: ConsumeEvents, signal?: AbortSignal): Promise<Consumer> {
    const consumer = await this.parts.transport.consume(source, events, signal);
    if (!this.isClosed) return consumer;
    await consumer.close({ deadlineMs: 0 });
    throw new BusClosedError('subscribe');
  }

  /** A callback of the user must not break the recovery that calls it, whether it throws or rejects. */
  private guarded(onGap: () => unknown): () => void {
    const tell = async (): Promise<unknown> => onGap();
    return () => {
      tell().catch((error: unknown) => this.parts.logger.error(`onGap failed: ${describeError(error)}`));
    };
  }

  /** On such exchanges wildcards are plain characters, which is seldom what was meant. */
  private warnOfLiterals(definition: GroupDefinition): void {
    const { name, handler } = this.exchangeOf(definition).events.exchange;
    if (handler.type !== 'direct' && handler.type !== 'x-rtopic') return;
    for (const { pattern = '' } of rulesOf(definition)) {
      if (!/(^|\.)[*#](\.|$)/.test(pattern)) continue;
      this.parts.logger.warn(
        `${definition.name}: "${pattern}" is taken literally, because "${name}" is ${handler.type === 'direct' ? 'a direct' : 'an x-rtopic'} exchange.`,
      );
    }
  }

  private exchangeOf({ exchange }: GroupDefinition): BusExchange {
    return this.parts.exchanges.get(exchange);
  }

  private sourceOf(definition: GroupDefinition): Source {
    const { events, broadcasts } = this.exchangeOf(definition);
    const rules = rulesOf(definition);
    const shared = definition.delivery === 'shared';
    return {
      ...this.common(),
      bindings: shared || !broadcasts ? bind(events, rules) : [...bind(events, rules), ...bind(broadcasts, rules)],
      prefetch: definition.policy.prefetch,
      ...(shared && { group: qualify(this.parts.options, definition.name) }),
      ...(definition.ordered && { ordered: definition.ordered }),
      ...(definition.startFrom && { startFrom: definition.startFrom }),
      ...(definition.declare && { declare: definition.declare }),
      ...(definition.queue && { queue: definition.queue }),
      ...(definition.renamedFrom && {
        previous: definition.renamedFrom.map((name) => qualify(this.parts.options, name)),
      }),
      ...(definition.unbind && {
        unbind: definition.unbind.map((one) =>
          typeof one === 'string'
            ? { pattern: one, exchange: events.exchange }
            : { pattern: one.pattern, exchange: this.parts.exchanges.formerly(one.exchange) },
        ),
      }),
    };
  }

  private broadcastSource(target: ExchangeTarget, groups: readonly ActiveGroup[]): Source {
    return {
      ...this.common(),
      bindings: groups.flatMap(({ definition }) => bind(target, rulesOf(definition))),
      prefetch: Math.min(65_535, this.parts.options.consume.maxConcurrency),
    };
  }

  private common(): Pick<Source, 'owner' | 'deadLetterGroup'> {
    const owner = qualify(this.parts.options, this.parts.options.service ?? 'app');
    return { owner, deadLetterGroup: `${owner}.broadcast` };
  }
}

function rulesOf({ handlers }: GroupDefinition): readonly BindingRule[] {
  return handlers.flatMap((handler) => handler.rules);
}

function bind({ exchange }: ExchangeTarget, rules: readonly BindingRule[]): Binding[] {
  return rules.map((rule) => ({ ...rule, exchange }));
}
