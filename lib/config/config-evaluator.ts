import type { Node } from 'jsonc-parser';
import { CONFIG_LIMITS } from './config-limits.js';
import { type ConfigNode, merge } from './config-node.js';
import { itemPath, propertyPath } from './config-path.js';
import type { ConfigProblems } from './config-problems.js';
import { type Reference, type Segment, segmentsOf, typed } from './config-reference.js';
import type { ConfigSource, Place } from './config-source.js';
import { parseDefault, type Syntax } from './config-syntax.js';

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
  /** The default that the value is in, which has its own references, and is at one place. */
  readonly within?: Pick<Syntax, 'references'>;
  /** How many defaults it is in, one within the other. */
  readonly defaults: number;
}

type Expanded = { readonly text: string; readonly isFromVariable: boolean } | { readonly complaint: string };

/** What a variable that stands alone has: its value, or its default as it is written. */
type Found = { readonly value: string } | { readonly fallback: string } | { readonly complaint: string };

const TOO_MANY = `has more than ${CONFIG_LIMITS.values} values, those counted again that are referred to.`;
const TOO_LONG = `has more than ${CONFIG_LIMITS.textLength} characters after its references have been replaced.`;

/** Puts the values of variables, of other keys and of other files into one file. */
export class ConfigEvaluator {
  /** The properties of each object that has been looked into. */
  private readonly properties = new Map<Node, ReadonlyMap<string, Node>>();

  constructor(
    private readonly source: ConfigSource,
    private readonly syntax: Syntax,
    private readonly context: EvaluationContext,
  ) {}

  evaluate(path: string): Promise<ConfigNode> {
    const { root } = this.syntax;
    return this.node(root, { path, place: this.placeOf(root), lookups: [], defaults: 0 });
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
          items.push(
            await this.node(child, { ...visit, path: itemPath(path, index), place: this.placeOf(child, visit) }),
          );
        }
        return { kind: 'list', place, items };
      }
      case 'string': {
        const reference = this.referenceAt(node, visit);
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
    const entries = new Map<string, ConfigNode>();
    const add = (key: string, value: ConfigNode): void => void entries.set(key, merge(entries.get(key), value));
    for (const property of node.children ?? []) {
      const [keyNode, valueNode] = property.children ?? [];
      if (keyNode === undefined || valueNode === undefined) continue;
      const place = this.placeOf(keyNode, visit);
      const key = String(keyNode.value);
      const path = propertyPath(visit.path, key);
      if (this.referenceAt(keyNode, visit)) {
        problems.add(place, `${visit.path || 'the file'} has a reference for a key; only values may be references.`);
        continue;
      }
      if (key === '[import]') {
        const targets = await this.node(valueNode, { ...visit, path, place });
        for (const target of targets.kind === 'list' ? targets.items : [targets]) {
          const imported = await this.context.importFile(target, visit.path);
          if (imported?.kind === 'object') for (const [name, value] of imported.entries) add(name, value);
        }
        continue;
      }
      const first = firsts.get(key);
      if (first) problems.add(place, `${path} is set twice; first in line ${this.source.position(first.offset).line}.`);
      firsts.set(key, place);
      add(key, await this.node(valueNode, { ...visit, path, place }));
    }
    return { kind: 'object', place: visit.place, entries };
  }

  /** Within quotes: always text. */
  private async text(written: string, visit: Visit): Promise<ConfigNode> {
    return this.valueOf(await this.expand(written, visit, false), written, visit);
  }

  /** Without quotes: what JSON makes of it. */
  private async bare(reference: Reference, visit: Visit): Promise<ConfigNode> {
    if (reference.kind === 'key') return this.lookUp(reference.path, visit);
    const found = this.variable(reference, visit);
    if ('complaint' in found) return { kind: 'broken', place: visit.place, complaint: found.complaint };
    if ('value' in found) return this.nodeOf(typed(found.value), visit, `\${${reference.name}}`, 0);
    // taken apart before variables are put in: what these have is never read as a part of JSON
    const syntax = await parseDefault(found.fallback);
    const inner = { ...visit, defaults: visit.defaults + 1 };
    if (syntax) return this.node(syntax.root, { ...inner, within: syntax });
    return this.valueOf(await this.expand(found.fallback, inner, true), `\${${reference.name}}`, visit);
  }

  private valueOf(expanded: Expanded, writtenAs: string, { place }: Visit): ConfigNode {
    if ('complaint' in expanded) return { kind: 'broken', place, complaint: expanded.complaint };
    return { kind: 'value', place, value: expanded.text, ...(expanded.isFromVariable && { writtenAs }) };
  }

  /** @param writtenAs the variable that has the value */
  private nodeOf(value: unknown, visit: Visit, writtenAs: string, depth: number): ConfigNode {
    const { path, place } = visit;
    if (depth > CONFIG_LIMITS.depth) {
      return { kind: 'broken', place, complaint: `${path} is nested more than ${CONFIG_LIMITS.depth} deep.` };
    }
    if (!this.context.countValue()) return { kind: 'broken', place, complaint: `${path} ${TOO_MANY}` };
    const child = (entry: unknown) => this.nodeOf(entry, visit, writtenAs, depth + 1);
    if (Array.isArray(value)) return { kind: 'list', place, items: value.map(child), writtenAs };
    if (typeof value === 'object' && value !== null) {
      const entries = Object.entries(value).map(([key, entry]) => [key, child(entry)] as const);
      return { kind: 'object', place, entries: new Map(entries), writtenAs };
    }
    return { kind: 'value', place, value, writtenAs };
  }

  /** @param hasQuotes as in `endOfReference` */
  private async expand(written: string, visit: Visit, hasQuotes: boolean): Promise<Expanded> {
    const segments = segmentsOf(written, hasQuotes);
    if ('complaint' in segments) return { complaint: `${visit.path}: ${segments.complaint}` };
    let text = '';
    let isFromVariable = false;
    for (const segment of segments) {
      const part = await this.segment(segment, visit, hasQuotes);
      if ('complaint' in part) return part;
      if (text.length + part.text.length > CONFIG_LIMITS.textLength) return { complaint: `${visit.path} ${TOO_LONG}` };
      text += part.text;
      isFromVariable ||= part.isFromVariable;
    }
    return { text, isFromVariable };
  }

  private async segment(segment: Segment, visit: Visit, hasQuotes: boolean): Promise<Expanded> {
    if (typeof segment === 'string') return { text: segment, isFromVariable: false };
    const { reference } = segment;
    if (reference.kind === 'variable') {
      const found = this.variable(reference, visit);
      if ('complaint' in found) return found;
      if ('value' in found) return { text: found.value, isFromVariable: true };
      return this.expand(found.fallback, { ...visit, defaults: visit.defaults + 1 }, hasQuotes);
    }
    const found = await this.lookUp(reference.path, visit);
    if (found.kind === 'broken') return found;
    if (found.kind === 'value') return { text: String(found.value), isFromVariable: found.writtenAs !== undefined };
    return { complaint: `${visit.path}: \${.${reference.path.join('.')}} is no text, and cannot be a part of one.` };
  }

  private variable({ name, fallback }: Reference & { kind: 'variable' }, visit: Visit): Found {
    const value = Object.hasOwn(this.context.env, name) ? this.context.env[name] : undefined;
    if (value !== undefined && (value !== '' || fallback === undefined)) return { value };
    if (fallback !== undefined) {
      if (visit.defaults < CONFIG_LIMITS.depth) return { fallback };
      return { complaint: `${visit.path} has defaults that are more than ${CONFIG_LIMITS.depth} deep.` };
    }
    const isKey = this.find([name]) !== undefined;
    const hint = isKey ? `. The key of this file is \${.${name}}` : `; set it, or write \${${name}:-default}`;
    return { complaint: `${visit.path}: the variable ${name} is not set${hint}.` };
  }

  private async lookUp(keys: readonly string[], visit: Visit): Promise<ConfigNode> {
    const { path, place, lookups, defaults } = visit;
    const written = `\${.${keys.join('.')}}`;
    const target = this.find(keys);
    if (target === undefined) {
      return { kind: 'broken', place, complaint: `${path}: ${written} is no key of this file.` };
    }
    if (lookups.includes(target)) {
      return { kind: 'broken', place, complaint: `${path}: ${written} refers to itself.` };
    }
    if (lookups.length >= CONFIG_LIMITS.depth) {
      return { kind: 'broken', place, complaint: `${path}: more than ${CONFIG_LIMITS.depth} references in a row.` };
    }
    return this.node(target, { path, place, lookups: [...lookups, target], defaults });
  }

  private find(keys: readonly string[]): Node | undefined {
    let node: Node | undefined = this.syntax.root;
    for (const key of keys) {
      if (node?.type === 'array') node = /^\d+$/.test(key) ? node.children?.[Number(key)] : undefined;
      else if (node?.type !== 'object') return undefined;
      else node = this.propertiesOf(node).get(key);
    }
    return node;
  }

  private propertiesOf(node: Node): ReadonlyMap<string, Node> {
    const known = this.properties.get(node);
    if (known) return known;
    const properties = new Map<string, Node>();
    for (const { children: [key, value] = [] } of node.children ?? []) {
      if (key && value) properties.set(String(key.value), value);
    }
    this.properties.set(node, properties);
    return properties;
  }

  private referenceAt(node: Node, { within }: Visit): Reference | undefined {
    return (within ?? this.syntax).references.get(node.offset);
  }

  private placeOf(node: Node, visit?: Visit): Place {
    return visit?.within ? visit.place : { source: this.source, offset: node.offset };
  }
}
