import type { Place } from './config-source.js';

interface Placed {
  /** Of its key, where it has one. */
  readonly place: Place;
  /** The key of an older file that this was made of. */
  readonly alias?: string;
  /** What the file has for it, when it holds the value of a variable, which may be a secret; so may the keys of an object. */
  readonly writtenAs?: string;
}

/** A text, number, boolean or null, or what a module has exported. */
export interface ValueNode extends Placed {
  readonly kind: 'value';
  readonly value: unknown;
}

interface ListNode extends Placed {
  readonly kind: 'list';
  readonly items: readonly ConfigNode[];
}

export interface ObjectNode extends Placed {
  readonly kind: 'object';
  readonly entries: ReadonlyMap<string, ConfigNode>;
}

/** What could not be known. Only a complaint when nothing replaces it later. */
export interface BrokenNode extends Placed {
  readonly kind: 'broken';
  readonly complaint: string;
}

/** A value of the configuration that knows where it was written. */
export type ConfigNode = ValueNode | ListNode | ObjectNode | BrokenNode;

/** Objects become one, the later property before the earlier; anything else is replaced. */
export function merge(earlier: ConfigNode | undefined, later: ConfigNode): ConfigNode {
  if (earlier?.kind !== 'object' || later.kind !== 'object') return later;
  const entries = new Map(earlier.entries);
  for (const [key, node] of later.entries) entries.set(key, merge(entries.get(key), node));
  return { ...later, entries };
}

/** The plain value. Null in an object means that the property is not set, unless `nulls` are wanted as they are. */
export function toValue(node: ConfigNode, nulls: 'kept' | 'dropped' = 'dropped'): unknown {
  switch (node.kind) {
    case 'value':
      return node.value;
    case 'broken':
      return undefined;
    case 'list':
      return node.items.map((item) => toValue(item, nulls));
    case 'object': {
      const entries = [...node.entries].filter(([, child]) => nulls === 'kept' || !isNull(child));
      // as own properties, whatever their names are
      return Object.fromEntries(entries.map(([key, child]) => [key, toValue(child, nulls)]));
    }
    default:
      return node satisfies never;
  }
}

export function isNull(node: ConfigNode): boolean {
  return node.kind === 'value' && node.value === null;
}

/** The first of what could not be known. */
export function brokenIn(node: ConfigNode): BrokenNode | undefined {
  return allBroken(node).next().value;
}

/** Everything that could not be known. */
export function* allBroken(node: ConfigNode): Generator<BrokenNode, undefined> {
  if (node.kind === 'broken') yield node;
  else if (node.kind === 'object') for (const child of node.entries.values()) yield* allBroken(child);
  else if (node.kind === 'list') for (const item of node.items) yield* allBroken(item);
  return undefined;
}

/** The first that holds the value of a variable. */
export function secretIn(node: ConfigNode): ConfigNode | undefined {
  if (node.writtenAs !== undefined) return node;
  const children = node.kind === 'object' ? node.entries.values() : node.kind === 'list' ? node.items : [];
  for (const child of children) {
    const found = secretIn(child);
    if (found) return found;
  }
  return undefined;
}
