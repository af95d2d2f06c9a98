import { ConfigurationError, UnroutableError } from '../core/errors.js';
import { describeError } from '../core/failure.js';
import type { BusLogger } from '../core/logger.js';
import type { PublishCounters } from './event-bus.stats.js';
import type { MessageDecoder } from './message-decoder.js';
import type { ResolvedOptions } from './resolved-options.js';
import { UnroutableStore } from './unroutable.store.js';
import { toUnroutable, type UnroutableMessage, type Unrouted } from './unroutable-message.js';
import type { UnroutablePolicy } from './unroutable-policy.js';

/** Topics, each of its exchange, for which the warning "no group" was given; forgotten together, so that it stays bounded. */
const WARNED = 1_000;

export interface UnroutablesOptions {
  readonly publish: Pick<ResolvedOptions['publish'], 'unroutable' | 'unroutableStore' | 'onUnroutable'>;
  /** Whether the transport tells that nobody got an event. */
  readonly isKnown: boolean;
  readonly decoder: MessageDecoder;
  readonly counters: PublishCounters;
  readonly logger: BusLogger;
}

/** What becomes of events that no group gets, as far as this process alone is concerned. */
export class Unroutables {
  private readonly store: UnroutableStore;
  private readonly warned = new Set<string>();
  private isDropping = false;

  constructor(private readonly options: UnroutablesOptions) {
    const { unroutable, unroutableStore } = options.publish;
    this.assertKnown(unroutable);
    this.store = new UnroutableStore(unroutableStore);
  }

  /** Where a publish asks for no other. */
  get policy(): UnroutablePolicy {
    return this.options.publish.unroutable;
  }

  /** @throws ConfigurationError for a policy that would never be followed */
  assertKnown(policy: UnroutablePolicy): void {
    if (this.options.isKnown || policy === 'warn' || policy === 'ignore') return;
    throw new ConfigurationError(
      `unroutable: '${policy}' is not supported by this transport: it does not tell whether any group got an event.`,
    );
  }

  /** @throws UnroutableError where that is the policy */
  meet(unrouted: Unrouted, policy: UnroutablePolicy): void {
    this.options.counters.unroutable++;
    if (policy === 'ignore') return;
    this.tell(unrouted);
    if (policy === 'warn') this.warn(unrouted);
    if (policy === 'store') this.keep(unrouted);
    if (policy === 'reject') throw new UnroutableError(nameOf(unrouted), unrouted.message.topic);
  }

  /** What is stored, the oldest first; it is forgotten here. */
  pop(): readonly UnroutableMessage[] {
    this.isDropping = false;
    return this.store.take().map((unrouted) => toUnroutable(unrouted, this.options.decoder));
  }

  private tell(unrouted: Unrouted): void {
    const { decoder, logger } = this.options;
    const { onUnroutable } = this.options.publish;
    if (!onUnroutable) return;
    // the user's code must not change what becomes of a publish, whether it throws or rejects
    const call = async (): Promise<unknown> => onUnroutable(toUnroutable(unrouted, decoder));
    const { id, topic } = unrouted.message;
    call().catch((error: unknown) => {
      logger.error(`publish.onUnroutable failed for "${topic}" (${id}): ${describeError(error)}`);
    });
  }

  private warn(unrouted: Unrouted): void {
    const { topic } = unrouted.message;
    const what = `${nameOf(unrouted)}\n${topic}`;
    if (this.warned.has(what)) return;
    if (this.warned.size >= WARNED) this.warned.clear();
    this.warned.add(what);
    this.options.logger.warn(
      `No group is bound to exchange "${nameOf(unrouted)}" for topic "${topic}": nobody got it. Said once per topic.`,
    );
  }

  private keep(unrouted: Unrouted): void {
    const { counters, logger } = this.options;
    const dropped = this.store.add(unrouted);
    counters.unroutableDropped += dropped;
    if (dropped === 0 || this.isDropping) return;
    this.isDropping = true;
    logger.warn(
      `The store of unroutable events is full: the oldest are dropped. Call popUnroutables() more often, or raise publish.unroutableStore. Said once until then.`,
    );
  }
}

/** Of the exchange, as the broker knows it. */
function nameOf({ exchange, broadcast }: Unrouted): string {
  return ((broadcast ? exchange.broadcasts : undefined) ?? exchange.events).exchange.name;
}
