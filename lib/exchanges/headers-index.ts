import type { BindingIndex } from '../core/binding-index.js';
import type { BindingRule, Routable } from '../core/exchange.js';
import type { HeaderValue } from '../core/message.js';
import { type AskedHeader, askedOf, isGiven } from './header-rules.js';

interface Entry<T> {
  readonly asked: readonly AskedHeader[];
  /** Whether one header is enough. */
  readonly isAny: boolean;
  readonly value: T;
}

/** Bindings by one header that they ask for. */
interface Shelf<T> {
  /** Whatever its value. */
  readonly present: Set<Entry<T>>;
  readonly equal: Map<HeaderValue, Set<Entry<T>>>;
}

/**
 * Finds bindings by the headers of a message. One that asks for `any` lies under each of its headers; one that asks for `all` lies
 * under a single one, that with the fewest others, so that a header that they all name does not bring them all up.
 */
export class HeadersIndex<T> implements BindingIndex<T> {
  /** Those that ask for nothing. */
  private readonly always = new Set<Entry<T>>();
  private readonly shelves = new Map<string, Shelf<T>>();

  add(rule: BindingRule, value: T): () => void {
    const asked = askedOf(rule);
    const entry: Entry<T> = { asked, isAny: rule.match === 'any', value };
    if (entry.isAny) for (const one of asked) this.entriesUnder(one).add(entry);
    else this.leastUsed(asked).add(entry);
    return () => {
      this.always.delete(entry);
      for (const one of asked) this.removeUnder(one, entry);
    };
  }

  find({ headers }: Routable): readonly T[] {
    const values = Array.from(this.always, ({ value }) => value);
    const take = (entries: Iterable<Entry<T>>): void => {
      for (const { asked, isAny, value } of entries)
        if (isAny || asked.every((one) => isGiven(one, headers))) values.push(value);
    };
    for (const [name, value] of Object.entries(headers)) {
      const shelf = this.shelves.get(name);
      if (!shelf) continue;
      take(shelf.present);
      take(shelf.equal.get(value) ?? []);
    }
    return values;
  }

  private leastUsed(asked: readonly AskedHeader[]): Set<Entry<T>> {
    let least: { readonly one: AskedHeader; readonly size: number } | undefined;
    for (const one of asked) {
      const size = this.sizeUnder(one);
      if (!least || size < least.size) least = { one, size };
    }
    return least ? this.entriesUnder(least.one) : this.always;
  }

  private sizeUnder([name, value]: AskedHeader): number {
    const shelf = this.shelves.get(name);
    return (value === null ? shelf?.present : shelf?.equal.get(value))?.size ?? 0;
  }

  private entriesUnder([name, value]: AskedHeader): Set<Entry<T>> {
    const shelf = this.shelves.get(name) ?? { present: new Set(), equal: new Map<HeaderValue, Set<Entry<T>>>() };
    this.shelves.set(name, shelf);
    if (value === null) return shelf.present;
    const entries = shelf.equal.get(value) ?? new Set();
    shelf.equal.set(value, entries);
    return entries;
  }

  private removeUnder([name, value]: AskedHeader, entry: Entry<T>): void {
    const shelf = this.shelves.get(name);
    if (!shelf) return;
    if (value === null) shelf.present.delete(entry);
    else if (shelf.equal.get(value)?.delete(entry) && shelf.equal.get(value)?.size === 0) shelf.equal.delete(value);
    if (shelf.present.size === 0 && shelf.equal.size === 0) this.shelves.delete(name);
  }
}
