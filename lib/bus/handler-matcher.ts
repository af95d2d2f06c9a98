import { compareSpecificity, type ExchangeHandler } from '../core/exchange.js';
import type { Message } from '../core/message.js';
import type { Handler } from './handler.js';

/** Topics whose handler is remembered; forgotten together, so that endless new topics cost no memory. */
const CACHE = 1_000;

/** Chooses inside one group: the handler with the most specific rule that matches. */
export class HandlerMatcher {
  private readonly candidates: readonly { readonly handler: Handler; readonly index: number }[];
  private readonly cache = new Map<string, readonly Handler[]>();
  /** Without rules, it has a queue to which no exchange leads: what is there is meant for it. */
  private readonly only: Handler | undefined;

  constructor(
    private readonly exchange: ExchangeHandler,
    handlers: readonly Handler[],
  ) {
    const [first] = handlers;
    if (handlers.length === 1 && first?.rules.length === 0) this.only = first;
    this.candidates = handlers
      .flatMap((handler) => handler.rules.map((_, index) => ({ handler, index })))
      .toSorted((a, b) => compareSpecificity(this.rank(b), this.rank(a)));
  }

  find(message: Message): Handler | undefined {
    if (this.only) return understands(this.only, message) ? this.only : undefined;
    let handlers: readonly Handler[] | undefined;
    if (this.exchange.usesHeaders) handlers = this.search(message);
    else {
      handlers = this.cache.get(message.topic);
      if (!handlers) {
        handlers = this.search(message);
        if (this.cache.size >= CACHE) this.cache.clear();
        this.cache.set(message.topic, handlers);
      }
    }
    for (const handler of handlers) if (understands(handler, message)) return handler;
    return undefined;
  }

  private search(message: Message): readonly Handler[] {
    return this.candidates
      .filter(({ handler, index }) => this.exchange.matches(handler.rules[index] ?? {}, message))
      .map(({ handler }) => handler);
  }

  private rank({ handler, index }: { readonly handler: Handler; readonly index: number }): readonly number[] {
    return this.exchange.specificity(handler.rules[index] ?? {});
  }
}

/** A message without a type comes from a publisher that knows only topics; without a version it is the first one. */
function understands({ event }: Handler, message: Message): boolean {
  if (!event) return true;
  return (message.type === '' || message.type === event.type) && (message.version ?? 1) === event.version;
}
