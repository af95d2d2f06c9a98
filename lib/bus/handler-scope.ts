import { AsyncLocalStorage } from 'node:async_hooks';
import type { EventContext, HandlerContext } from './event-context.js';
import type { MessageOptions } from './message-encoder.js';

/**
 * Knows for which delivery the code that asks is running, through whatever it awaits, and gives to what is published there
 * its place in the chain. All buses of an application share one, so that the chain goes on from bus to bus.
 */
export class HandlerScope {
  /** @param isTracking `false`: what runs is in no scope at all */
  constructor(
    private readonly storage = new AsyncLocalStorage<HandlerContext | readonly EventContext[] | undefined>(),
    private readonly isTracking = true,
  ) {}

  /** For a bus whose handlers are not told: it still knows those of the others. */
  untracked(): HandlerScope {
    return new HandlerScope(this.storage, false);
  }

  /**
   * Calls `fn` for a delivery, or for all those of a batch.
   *
   * @param args given to `fn`, so that no closure is needed
   */
  run<A extends unknown[], R>(context: HandlerContext | readonly EventContext[], fn: (...args: A) => R, ...args: A): R {
    if (this.isTracking) return this.storage.run(context, fn, ...args);
    // the first `run` makes every promise of the process dearer
    return this.storage.getStore() === undefined ? fn(...args) : this.storage.run(undefined, fn, ...args);
  }

  /** Undefined outside of handlers, and in one that gets batches: it has a context for each item. */
  get current(): HandlerContext | undefined {
    const store = this.storage.getStore();
    return isBatch(store) ? undefined : store;
  }

  /**
   * The options of a message with what it takes over from the handler that publishes it: the correlation id of the message that
   * is handled, or else its id; its id as causation; one more than its depth. Ids that the options give win. Of a batch, what
   * all its messages share, and the greatest depth. Outside of handlers: the options themselves.
   *
   * @param store whose handler publishes it. Default: that which runs here
   */
  inherit(
    options: MessageOptions,
    store: EventContext | readonly EventContext[] | undefined = this.storage.getStore(),
  ): MessageOptions {
    if (store === undefined) return options;
    const origin = isBatch(store) ? originOfAll(store) : originOf(store);
    const { correlationId = origin.correlationId, causationId = origin.causationId } = options;
    return {
      ...options,
      ...(correlationId !== undefined && { correlationId }),
      ...(causationId !== undefined && { causationId }),
      depth: origin.depth + 1,
    };
  }
}

interface Origin {
  readonly correlationId: string | undefined;
  readonly causationId: string | undefined;
  readonly depth: number;
}

function originOf({ message }: EventContext): Origin {
  const { id, correlationId, depth = 0 } = message;
  // what others publish may have no id
  return { correlationId: correlationId || id || undefined, causationId: id || undefined, depth };
}

function originOfAll(contexts: readonly EventContext[]): Origin {
  const [first, ...others] = contexts.map(originOf);
  if (!first) return { correlationId: undefined, causationId: undefined, depth: 0 };
  const shared = (key: 'correlationId' | 'causationId'): string | undefined =>
    others.every((other) => other[key] === first[key]) ? first[key] : undefined;
  return {
    correlationId: shared('correlationId'),
    causationId: shared('causationId'),
    depth: Math.max(first.depth, ...others.map(({ depth }) => depth)),
  };
}

function isBatch<C extends EventContext>(
  store: C | readonly EventContext[] | undefined,
): store is readonly EventContext[] {
  return Array.isArray(store);
}
