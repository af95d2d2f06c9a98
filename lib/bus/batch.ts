import { BatchError, EventBusError } from '../core/errors.js';
import type { EventContext } from './event-context.js';
import type { Handler } from './handler.js';
import type { HandlerScope } from './handler-scope.js';
import { isHandlerValues, lastOf } from './handler-values.js';

/** An item that takes part, with the way to tell its outcome. */
interface Member {
  readonly payload: unknown;
  readonly context: EventContext;
  resolve(): void;
  reject(error: unknown): void;
}

/** A handler as it is called with a batch; Nest's machinery in between takes whatever arguments there are. */
interface BatchHandler {
  invoke(payloads: readonly unknown[], contexts: readonly EventContext[]): unknown;
}

/**
 * One call of a handler for many messages. Each message goes its own way through validation, inbox and middleware; here they
 * meet. When it is known of all whether they take part, the handler is called once with those that do, in the order of their
 * arrival, and each learns what came of it.
 */
export class Batch {
  private readonly members: (Member | undefined)[] = [];
  /** Of whom it is not known yet whether they take part. */
  private readonly awaited: Set<number>;
  private isOver = false;
  private reason: unknown;

  constructor(
    size: number,
    private readonly handler: Pick<Handler, 'place' | 'invoke'>,
    private readonly scope: HandlerScope,
  ) {
    this.awaited = new Set(Array.from({ length: size }, (_, index) => index));
  }

  /** Item `index` takes part. Settles as it fares. */
  async join(index: number, payload: unknown, context: EventContext): Promise<void> {
    if (this.isOver || !this.awaited.has(index)) {
      throw this.reason ?? new EventBusError('BATCH_OVER', 'A middleware called next() when it had ended already.');
    }
    await new Promise<void>((resolve, reject) => {
      this.members[index] = { payload, context, resolve, reject };
      this.settle(index);
    });
  }

  /** Item `index` has come to its end; if it has not joined, the others need not wait for it any longer. */
  leave(index: number): void {
    if (!this.isOver && this.awaited.has(index)) this.settle(index);
  }

  /** If the handler has not been called it will not be, and all who take part fail with `reason`. */
  cancel(reason: unknown): void {
    if (this.isOver) return;
    this.isOver = true;
    this.reason = reason;
    for (const member of this.members) member?.reject(reason);
  }

  private settle(index: number): void {
    this.awaited.delete(index);
    if (this.awaited.size > 0) return;
    this.isOver = true;
    const members = this.members.filter((member) => member !== undefined);
    if (members.length > 0) void this.call(members);
  }

  /** Never rejects. */
  private async call(members: readonly Member[]): Promise<void> {
    let outcome: (index: number) => { readonly error: unknown } | undefined = () => undefined;
    try {
      const contexts = members.map(({ context }) => context);
      await this.scope.run(contexts, this.invoke, members, contexts);
    } catch (error) {
      outcome = this.blame(error, members.length);
    }
    for (const [index, member] of members.entries()) {
      const failure = outcome(index);
      if (failure) member.reject(failure.error);
      else member.resolve();
    }
  }

  private readonly invoke = async (members: readonly Member[], contexts: readonly EventContext[]): Promise<void> => {
    const payloads = members.map(({ payload }) => payload);
    const result = await (this.handler as unknown as BatchHandler).invoke(payloads, contexts);
    if (isHandlerValues(result)) await lastOf(result, signalOf(members));
  };

  /** Which items have failed, and with what. A BatchError that cannot be understood fails them all: none may be lost. */
  private blame(error: unknown, size: number): (index: number) => { readonly error: unknown } | undefined {
    if (!(error instanceof BatchError)) return () => ({ error });
    const failures = new Map<unknown, { readonly error: unknown }>();
    for (const { index, error: reason } of error.failures) {
      const isKnown = Number.isInteger(index) && index >= 0 && index < size;
      if (isKnown && !failures.has(index)) {
        failures.set(index, { error: reason });
        continue;
      }
      const complaint = isKnown
        ? `names item ${index} twice`
        : `names ${typeof index === 'number' ? `item ${index}` : 'an item by something else than its index'}, and the batch had the items 0 to ${size - 1}`;
      const unclear = new EventBusError('BATCH_ERROR', `${this.handler.place}: its BatchError ${complaint}.`, {
        cause: error,
      });
      return () => ({ error: unclear });
    }
    return (index) => failures.get(index);
  }
}

/** They stop together. */
function signalOf([first]: readonly Member[]): AbortSignal {
  return first?.context.signal ?? new AbortController().signal;
}
