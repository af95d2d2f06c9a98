import type { BindingIndex } from '../core/binding-index.js';
import type { BindingRule, Routable } from '../core/exchange.js';

/** Finds the bindings that name the topic. */
export class DirectIndex<T> implements BindingIndex<T> {
  private readonly byPattern = new Map<string, Set<{ readonly value: T }>>();

  add({ pattern = '' }: BindingRule, value: T): () => void {
    const entries = this.byPattern.get(pattern) ?? new Set();
    this.byPattern.set(pattern, entries);
    const entry = { value };
    entries.add(entry);
    return () => {
      if (entries.delete(entry) && entries.size === 0) this.byPattern.delete(pattern);
    };
  }

  find({ topic }: Routable): readonly T[] {
    return Array.from(this.byPattern.get(topic) ?? [], ({ value }) => value);
  }
}
