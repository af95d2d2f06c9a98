import { BusClosedError } from '../core/errors.js';
import type { Binding, BindingRule, Exchange } from '../core/exchange.js';
import { describeError } from '../core/failure.js';
import type { InboxStore } from '../core/inbox.js';
import type { BusLogger } from '../core/logger.js';
import type { Message } from '../core/message.js';
import type { Middleware } from '../core/pipeline.js';
import type { ConsumeEvents, Consumer, Source, Transport } from '../core/transport.js';
import type { GroupStats } from './event-bus.stats.js';
import type { EventContext } from './event-context.js';
import type { GroupDefinition } from './group-definition.js';
import { HandlerMatcher } from './handler-matcher.js';
import type { MessageDecoder } from './message-decoder.js';
import { BroadcastHub, PrivateRetries } from './private-delivery.js';
import type { EventPublishOptions } from './publish-options.js';
import { qualify, type ResolvedOptions } from './resolved-options.js';
import { RunnerFactory } from './runner.factory.js';
import type { Runner } from './runner.js';

export interface ConsumptionOptions {
  readonly options: ResolvedOptions;
  readonly transport: Transport;
  readonly exchange: Exchange;
  readonly broadcastExchange: Exchange;
  readonly decoder: MessageDecoder;
  readonly logger: BusLogger;
  readonly emit: (topic: string, payload: unknown, options: EventPublishOptions) => Promise<unknown>;
  readonly middleware?: readonly Middleware<EventContext>[] | undefined;
  /** Default: in the memory of this process. */
  readonly inbox?: InboxStore | undefined;
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
  ) {
    this.wanted = matcher;
    this.retries = new PrivateRetries(runner, onGap);
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
  private hub: { readonly hub: BroadcastHub; readonly consumer: Consumer } | undefined;

  constructor(private readonly parts: ConsumptionOptions) {
    this.runners = new RunnerFactory(parts);
  }

  add(definition: GroupDefinition, onGap?: () => void): ActiveGroup {
    const { exchange } = this.parts;
    this.warnOfLiterals(definition);
    const matcher = new HandlerMatcher(exchange.handler, definition.handlers);
    const runner = this.runners.create(definition, matcher);
    const group = new ActiveGroup(definition, this.sourceOf(definition), runner, matcher, onGap && this.guarded(onGap));
    this.groups.add(group);
    return group;
  }

  /** Consumes for one group: its durable queue, or its private one. */
  async start(group: ActiveGroup, signal?: AbortSignal): Promise<void> {
    group.isStarting = true;
    const events: ConsumeEvents = group.definition.delivery === 'broadcast' ? group.retries : group.runner;
    group.consumers.push(await this.consume(group.source, events, signal));
  }

  /** One private queue that brings broadcasts to all shared groups. */
  async startHub(groups: readonly ActiveGroup[]): Promise<void> {
    if (groups.length === 0) return;
    const hub = new BroadcastHub(groups);
    const rules = groups.flatMap((group) => group.definition.handlers.flatMap((handler) => handler.rules));
    this.hub = { hub, consumer: await this.consume(this.broadcastSource(rules), hub) };
  }

  async startBroadcasts(group: ActiveGroup, signal?: AbortSignal): Promise<void> {
    const rules = group.definition.handlers.flatMap((handler) => handler.rules);
    group.consumers.push(await this.consume(this.broadcastSource(rules), group.retries, signal));
  }

  async remove(group: ActiveGroup, deadlineMs: number): Promise<void> {
    this.groups.delete(group);
    await group.close(deadlineMs);
  }

  /** Stops everything at once, waits for what runs, by the deadline. */
  async close(deadlineMs: number): Promise<void> {
    this.isClosed = true;
    const closed = [...this.groups].map((group) => group.close(deadlineMs));
    if (this.hub) closed.push(this.hub.consumer.close({ deadlineMs }));
    this.hub?.hub.stop();
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

  /** On a direct exchange wildcards are plain characters, which is seldom what was meant. */
  private warnOfLiterals({ name, handlers }: GroupDefinition): void {
    const { exchange, logger } = this.parts;
    if (exchange.handler.type !== 'direct') return;
    for (const { pattern = '' } of handlers.flatMap((handler) => handler.rules)) {
      if (!/(^|\.)[*#](\.|$)/.test(pattern)) continue;
      logger.warn(`${name}: "${pattern}" is taken literally, because "${exchange.name}" is a direct exchange.`);
    }
  }

  private sourceOf(definition: GroupDefinition): Source {
    const { exchange, broadcastExchange } = this.parts;
    const rules = definition.handlers.flatMap((handler) => handler.rules);
    const shared = definition.delivery === 'shared';
    return {
      ...this.common(),
      bindings: shared ? bind(exchange, rules) : [...bind(exchange, rules), ...bind(broadcastExchange, rules)],
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
        unbind: bind(
          exchange,
          definition.unbind.map((pattern) => ({ pattern })),
        ),
      }),
    };
  }

  private broadcastSource(rules: readonly BindingRule[]): Source {
    const { options, broadcastExchange } = this.parts;
    return {
      ...this.common(),
      bindings: bind(broadcastExchange, rules),
      prefetch: Math.min(65_535, options.consume.maxConcurrency),
    };
  }

  private common(): Pick<Source, 'owner' | 'deadLetterGroup'> {
    const owner = qualify(this.parts.options, this.parts.options.service ?? 'app');
    return { owner, deadLetterGroup: `${owner}.broadcast` };
  }
}

function bind(exchange: Exchange, rules: readonly BindingRule[]): Binding[] {
  return rules.map((rule) => ({ ...rule, exchange }));
}
