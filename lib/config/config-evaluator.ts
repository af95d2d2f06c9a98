import type { Node } from 'jsonc-parser';
import { CONFIG_LIMITS } from './config-limits.js';
import { type ConfigNode, merge, type ObjectNode } from './config-node.js';
import { itemPath, propertyPath } from './config-path.js';
import type { ConfigProblems } from './config-problems.js';
import { type Reference, type Segment, segmentsOf, typed } from './config-reference.js';
import type { ConfigSource, Place } from './config-source.js';
import type { Syntax } from './config-syntax.js';

/** What the files of one configuration share. */
export interface EvaluationContext {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly problems: ConfigProblems;
  /** Counts a value; whether there may be one more. */
  countValue(): boolean;
  /** The object of another file; undefined when it could not be read, which has been said. */
  importFile(target: ConfigNode, path: string): Promise<ConfigNode | undefined>;
}

/** Where in the configuration a value is wanted. */
interface Visit {
  readonly path: string;
  readonly place: Place;
  /** Values that are being looked up by `${.path}`, outermost first. */
  readonly lookups: readonly Node[];
}

type Expanded = { readonly text: string; readonly isFromVariable: boolean } | { readonly complaint: string };

const TOO_MANY = `has more than ${CONFIG_LIMITS.values} values, those counted again that are referred to.`;
const TOO_LONG = `has more than ${CONFIG_LIMITS.textLength} characters after its references have been replaced.`;

/** Puts the values of variables, of other keys and of other files into one file. */
export class ConfigEvaluator {
  constructor(
    private readonly source: ConfigSource,
    private readonly syntax: Syntax,
    private readonly context: EvaluationContext,
  ) {}

  evaluate(path: string): Promise<ConfigNode> {
    const { root } = this.syntax;
    return this.node(root, { path, place: this.placeOf(root), lookups: [] });
  }

  private async node(node: Node, visit: Visit): Promise<ConfigNode> {
    const { path, place } = visit;
    if (!this.context.countValue()) return { kind: 'broken', place, complaint: `${path || 'the file'} ${TOO_MANY}` };
    switch (node.type) {
      case 'object':
        return this.object(node, visit);
      case 'array': {
        const items: ConfigNode[] = [];
        for (const [index, child] of (node.children ?? []).entries()) {
          items.push(await this.node(child, { ...visit, path: itemPath(path, index), place: this.placeOf(child) }));
        }
        return { kind: 'list', place, items };
      }
      case 'string': {
        const reference = this.syntax.references.get(node.offset);
        return reference === undefined ? this.text(String(node.value), visit) : this.bare(reference, visit);
      }
      case 'number':
      case 'boolean':
      case 'null':
      case 'property':
        return { kind: 'value', place, value: node.value as unknown };
      default:
        return node.type satisfies never;
    }
  }

  private async object(node: Node, visit: Visit): Promise<ConfigNode> {
    const { problems } = this.context;
    const firsts = new Map<string, Place>();
    let result: ObjectNode = { kind: 'object', place: visit.place, entries: new Map() };
    for (const property of node.children ?? []) {
      const [keyNode, valueNode] = property.children ?? [];
      if (keyNode === undefined || valueNode === undefined) continue;
      const place = this.placeOf(keyNode);
      const key = String(keyNode.value);
      const path = propertyPath(visit.path, key);
      if (this.syntax.references.has(keyNode.offset)) {
        problems.add(place, `${visit.path || 'the file'} has a reference for a key; only values may be references.`);
        continue;
      }
      if (key === '[import]') {
        const targets = await this.node(valueNode, { ...visit, path, place });
        for (const target of targets.kind === 'list' ? targets.items : [targets]) {
          const imported = await this.context.importFile(target, visit.path);
          if (imported?.kind === 'object') result = { ...result, entries: merged(result, imported) };
        }
        continue;
      }
      const first = firsts.get(key);
      if (first) problems.add(place, `${path} is set twice; first in line ${this.source.position(first.offset).line}.`);
      firsts.set(key, place);
      const value = await this.node(valueNode, { ...visit, path, place });
      result = { ...result, entries: merged(result, { ...result, entries: new Map([[key, value]]) }) };
    }
    return result;
  }

  /** Within quotes: always text. */
  private async text(written: string, visit: Visit): Promise<ConfigNode> {
    const expanded = await this.expand(written, visit);
    if ('complaint' in expanded) return { kind: 'broken', place: visit.place, complaint: expanded.complaint };
    const { text, isFromVariable } = expanded;
    return { kind: 'value', place: visit.place, value: text, ...(isFromVariable && { isFromVariable }) };
  }

  /** Without quotes: what JSON makes of it. */
  private async bare(reference: Reference, visit: Visit): Promise<ConfigNode> {
    if (reference.kind === 'key') return this.lookUp(reference.path, visit);
    const expanded = await this.variable(reference, visit);
    if ('complaint' in expanded) return { kind: 'broken', place: visit.place, complaint: expanded.complaint };
    return this.nodeOf(typed(expanded.text), visit, expanded.isFromVariable, 0);
  }

  private nodeOf(value: unknown, visit: Visit, isFromVariable: boolean, depth: number): ConfigNode {
    const { path, place } = visit;
    if (depth > CONFIG_LIMITS.depth) {
      return { kind: 'broken', place, complaint: `${path} is nested more than ${CONFIG_LIMITS.depth} deep.` };
    }
    if (!this.context.countValue()) return { kind: 'broken', place, complaint: `${path} ${TOO_MANY}` };
    const child = (entry: unknown) => this.nodeOf(entry, visit, isFromVariable, depth + 1);
    if (Array.isArray(value)) return { kind: 'list', place, items: value.map(child) };
    if (typeof value === 'object' && value !== null) {
      const entries = Object.entries(value).map(([key, entry]) => [key, child(entry)] as const);
      return { kind: 'object', place, entries: new Map(entries) };
    }
    return { kind: 'value', place, value, ...(isFromVariable && { isFromVariable }) };
  }

  private async expand(written: string, visit: Visit): Promise<Expanded> {
    const segments = segmentsOf(written);
    if ('complaint' in segments) return { complaint: `${visit.path}: ${segments.complaint}` };
    let text = '';
    let isFromVariable = false;
    for (const segment of segments) {
      const part = await this.segment(segment, visit);
      if ('complaint' in part) return part;
      if (text.length + part.text.length > CONFIG_LIMITS.textLength) return { complaint: `${visit.path} ${TOO_LONG}` };
      text += part.text;
      isFromVariable ||= part.isFromVariable;
    }
    return { text, isFromVariable };
  }

  private async segment(segment: Segment, visit: Visit): Promise<Expanded> {
    if (typeof segment === 'string') return { text: segment, isFromVariable: false };
    const { reference } = segment;
    if (reference.kind === 'variable') return this.variable(reference, visit);
    const found = await this.lookUp(reference.path, visit);
    if (found.kind === 'broken') return found;
    if (found.kind === 'value') return { text: String(found.value), isFromVariable: found.isFromVariable === true };
    return { complaint: `${visit.path}: \${.${reference.path.join('.')}} is no text, and cannot be a part of one.` };
  }

  private async variable(reference: Reference & { kind: 'variable' }, visit: Visit): Promise<Expanded> {
    const { name, fallback } = reference;
    const value = Object.hasOwn(this.context.env, name) ? this.context.env[name] : undefined;
    if (value !== undefined && (value !== '' || fallback === undefined)) return { text: value, isFromVariable: true };
    if (fallback !== undefined) return this.expand(fallback, visit);
    const isKey = find(this.syntax.root, [name]) !== undefined;
    const hint = isKey ? `. The key of this file is \${.${name}}` : `; set it, or write \${${name}:-default}`;
    return { complaint: `${visit.path}: the variable ${name} is not set${hint}.` };
  }

  private async lookUp(keys: readonly string[], visit: Visit): Promise<ConfigNode> {
    const { path, place, lookups } = visit;
    const written = `\${.${keys.join('.')}}`;
    const target = find(this.syntax.root, keys);
    if (target === undefined) {
      return { kind: 'broken', place, complaint: `${path}: ${written} is no key of this file.` };
    }
    if (lookups.includes(target)) {
      return { kind: 'broken', place, complaint: `${path}: ${written} refers to itself.` };
    }
    if (lookups.length >= CONFIG_LIMITS.depth) {
      return { kind: 'broken', place, complaint: `${path}: more than ${CONFIG_LIMITS.depth} references in a row.` };
    }
    return this.node(target, { path, place, lookups: [...lookups, target] });
  }

  private placeOf(node: Node): Place {
    return { source: this.source, offset: node.offset };
  }
}

function merged(earlier: ObjectNode, later: ObjectNode): ObjectNode['entries'] {
  const both = merge(earlier, later);
  return both.kind === 'object' ? both.entries : later.entries;
}

function find(root: Node, keys: readonly string[]): Node | undefined {
  let node: Node | undefined = root;
  for (const key of keys) {
    if (node?.type === 'array') node = /^\d+$/.test(key) ? node.children?.[Number(key)] : undefined;
    else if (node?.type !== 'object') return undefined;
    else node = node.children?.findLast(({ children }) => children?.[0]?.value === key)?.children?.[1];
  }
  return node;
}
