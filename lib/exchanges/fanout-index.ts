import type { BindingIndex } from '../core/binding-index.js';
import type { BindingRule } from '../core/exchange.js';

/** Finds everybody. */
export class FanoutIndex<T> implements BindingIndex<T> {
  private readonly entries = new Set<{ readonly value: T }>();

  add(_rule: BindingRule, value: T): () => void {
    const entry = { value };
    this.entries.add(entry);
    return () => void this.entries.delete(entry);
  }

  find(): readonly T[] {
    return Array.from(this.entries, ({ value }) => value);
  }
}
