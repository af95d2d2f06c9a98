import type { BindingRule, ExchangeHandler, Routable } from './exchange.js';

/** Who is bound to one exchange by which rules, arranged so that those of a message are found without asking each of them. */
export interface BindingIndex<T> {
  /** @returns takes it away again; calling it twice is no error */
  add(rule: BindingRule, value: T): () => void;
  /** The values of all rules that match; one with several such rules comes as often, or once. */
  find(message: Routable): Iterable<T>;
}

/** Asks every rule: for exchanges without an index of their own. */
export class ScanningIndex<T> implements BindingIndex<T> {
  private readonly bindings = new Set<{ readonly rule: BindingRule; readonly value: T }>();

  constructor(private readonly exchange: Pick<ExchangeHandler, 'matches'>) {}

  add(rule: BindingRule, value: T): () => void {
    const binding = { rule, value };
    this.bindings.add(binding);
    return () => void this.bindings.delete(binding);
  }

  find(message: Routable): readonly T[] {
    return [...this.bindings].filter(({ rule }) => this.exchange.matches(rule, message)).map(({ value }) => value);
  }
}
