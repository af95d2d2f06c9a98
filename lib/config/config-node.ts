import type { Place } from './config-source.js';

interface Placed {
  /** Of its key, where it has one. */
  readonly place: Place;
  /** The key of an older file that this was made of. */
  readonly alias?: string;
}

/** A text, number, boolean or null, or what a module has exported. */
export interface ValueNode extends Placed {
  readonly kind: 'value';
  readonly value: unknown;
  /** Holds the value of a variable, which may be a secret. */
  readonly isFromVariable?: boolean;
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

/** The innermost node whose path a complaint begins with. Keys may be anything, so the path is followed, not parsed. */
export function nodeOfComplaint(root: ConfigNode, complaint: string): ConfigNode {
  let best = { node: root, end: 0 };
  const follow = (node: ConfigNode, end: number): void => {
    if (end > best.end && /^([\s.:[]|$)/.test(complaint.slice(end, end + 1))) best = { node, end };
    const step = (written: string, child: ConfigNode): void => {
      if (written !== '' && complaint.startsWith(written, end)) follow(child, end + written.length);
    };
    if (node.kind === 'list') for (const [index, item] of node.items.entries()) step(`[${index}]`, item);
    if (node.kind !== 'object') return;
    for (const [key, child] of node.entries) {
      step(end === 0 ? key : `.${key}`, child);
      step(`[${JSON.stringify(key)}]`, child);
    }
  };
  follow(root, 0);
  return best.node;
}
