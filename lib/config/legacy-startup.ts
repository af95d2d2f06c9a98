import { nearest } from '../core/text.js';
import { type BrokenNode, type ConfigNode, isNull, type ObjectNode, type ValueNode } from './config-node.js';
import { childPath, itemPath, propertyPath } from './config-path.js';
import type { ConfigProblems } from './config-problems.js';

/** Of EventBusClient, when its file does not say. */
const BARRIER_TIMEOUT_S = 5;
const DAY_S = 86_400;

/** Its policies by the names of their classes: what they take, or why there is none. */
const LEGACY_POLICIES: Readonly<Record<string, { readonly args: readonly string[] } | { readonly refusal: string }>> = {
  NoWait: { args: [] },
  FixedDelay: { args: ['seconds'] },
  HandshakeBarrier: { args: ['requirements', 'timeout'] },
  PolicyChain: { args: ['policies', 'mode', 'fail_fast'] },
  PanelControlLegacyByAlias: {
    refusal:
      'PanelControlLegacyByAlias has no counterpart, for there are no aliases. Give the instances that wait "startup": { "policy": { "type": "fixed-delay", "delayMs": 60000 } }, or a handshake-barrier on the role of the controller, and the controller none.',
  },
  GeneralCacheStartupPolicy: {
    refusal:
      'GeneralCacheStartupPolicy has no counterpart. There is no general cache; subscribe with bus.observe(topic).',
  },
  ConfigureUnroutablePolicy: {
    refusal:
      'ConfigureUnroutablePolicy is no policy here. Set "publish": { "unroutable": … } to "ignore" (drop), "warn" (log), "reject" (raise), "store" (cache) or "alternate-exchange"; a callback is publish.onUnroutable.',
  },
};

const KNOWN = Object.entries(LEGACY_POLICIES)
  .filter(([, policy]) => 'args' in policy)
  .map(([name]) => name);

/** A policy as it is written: its class, and what it is made with. */
interface Written {
  readonly type: ConfigNode;
  readonly typePath: string;
  readonly args: ConfigNode | undefined;
  readonly argsPath: string;
}

/** Makes the data of startup policies of those in EventBusClient's configuration. Whatever is wrong is said, and broken. */
export class LegacyStartup {
  constructor(private readonly problems: ConfigProblems) {}

  /** Of `startup_policies` and its settings. */
  chain(
    policies: ConfigNode,
    path: string,
    settings: readonly (readonly [option: string, path: string, node: ConfigNode | undefined])[],
  ): ConfigNode {
    if (policies.kind === 'broken') return policies;
    if (policies.kind !== 'list') return this.refuse(policies, `${path} must be an array.`);
    const items = policies.items.map((item, index) => this.policy(item, itemPath(path, index)));
    const entries: [string, ConfigNode][] = [
      ['type', { kind: 'value', place: policies.place, value: 'chain' }],
      ['policies', { ...policies, items }],
    ];
    for (const [option, alias, node] of settings) if (node && !isNull(node)) entries.push([option, { ...node, alias }]);
    return { kind: 'object', place: policies.place, alias: path, entries: new Map(entries) };
  }

  /** Of a class by its dotted name, and its arguments. */
  single({ type, typePath, args, argsPath }: Written): ConfigNode {
    if (type.kind === 'broken') return type;
    const value = type.kind === 'value' ? type.value : undefined;
    if (typeof value !== 'string' || value === '') return this.refuse(type, `${typePath} must be the name of a class.`);
    const name = value.slice(value.lastIndexOf('.') + 1);
    const known = Object.hasOwn(LEGACY_POLICIES, name) ? LEGACY_POLICIES[name] : undefined;
    if (known === undefined) {
      const guess = nearest(name, KNOWN);
      return this.refuse(
        type,
        `${typePath} must be one of ${KNOWN.join(', ')}. ${guess === undefined ? '' : `Did you mean ${guess}? `}A policy of your own is a module, in the option startup.policy.`,
      );
    }
    if ('refusal' in known) return this.refuse(type, `${typePath}: ${known.refusal}`);
    if (args?.kind === 'broken') return args;
    if (args !== undefined && !isNull(args) && args.kind !== 'object')
      return this.refuse(args, `${argsPath} must be an object.`);
    const given = args?.kind === 'object' ? args : undefined;
    for (const [key, { place }] of given?.entries ?? []) {
      if (known.args.includes(key) || given === undefined) continue;
      const names = known.args.length === 0 ? `${name} takes none.` : `Known: ${known.args.join(', ')}.`;
      this.problems.add(place, `${childPath(given, argsPath, key)} is not known. ${names}`);
    }
    return this.make(name, type, (key) => [given?.entries.get(key), propertyPath(argsPath, key)]);
  }

  private make(
    name: string,
    from: ConfigNode,
    arg: (key: string) => readonly [node: ConfigNode | undefined, path: string],
  ): ConfigNode {
    const { place } = from;
    const text = (value: string): ValueNode => ({ kind: 'value', place, value });
    const object = (entries: readonly (readonly [string, ConfigNode])[], alias: string): ObjectNode => ({
      kind: 'object',
      place,
      alias,
      entries: new Map(entries),
    });
    switch (name) {
      case 'FixedDelay': {
        const [seconds, path] = arg('seconds');
        if (!seconds || isNull(seconds)) return this.refuse(from, `${path} is required.`);
        return object(
          [
            ['type', text('fixed-delay')],
            ['delayMs', this.toMs(seconds, path, 0)],
          ],
          path,
        );
      }
      case 'HandshakeBarrier': {
        const [requirements, path] = arg('requirements');
        if (!requirements || isNull(requirements)) return this.refuse(from, `${path} is required.`);
        const [timeout, timeoutPath] = arg('timeout');
        const given = timeout && !isNull(timeout) ? timeout : undefined;
        const timeoutMs = this.toMs(given ?? { kind: 'value', place, value: BARRIER_TIMEOUT_S }, timeoutPath, 1);
        return object(
          [
            ['type', text('handshake-barrier')],
            ['requirements', atLeastOne(requirements, path)],
            ['timeoutMs', timeoutMs],
            ['onTimeout', text('continue')],
          ],
          path,
        );
      }
      case 'PolicyChain': {
        const [policies, path] = arg('policies');
        if (!policies || isNull(policies)) return this.refuse(from, `${path} is required.`);
        const [mode, modePath] = arg('mode');
        const [failFast, failFastPath] = arg('fail_fast');
        return this.chain(policies, path, [
          ['mode', modePath, mode],
          ['failFast', failFastPath, failFast],
        ]);
      }
      default:
        return object([['type', text('no-wait')]], name);
    }
  }

  private policy(node: ConfigNode, path: string): ConfigNode {
    if (node.kind === 'broken') return node;
    if (node.kind !== 'object') return this.refuse(node, `${path} must be an object with a class and its args.`);
    for (const [key, { place }] of node.entries) {
      if (!['class', 'args', 'wrap'].includes(key))
        this.problems.add(place, `${childPath(node, path, key)} is not known. Known: class, args, wrap.`);
    }
    const wrap = node.entries.get('wrap');
    if (wrap && !isNull(wrap) && !(wrap.kind === 'list' && wrap.items.length === 0)) {
      return this.refuse(
        wrap,
        `${propertyPath(path, 'wrap')} has no counterpart. Write a policy of your own that calls the other, and name its module in the option startup.policy.`,
      );
    }
    const type = node.entries.get('class');
    const typePath = propertyPath(path, 'class');
    if (!type || isNull(type)) return this.refuse(node, `${typePath} is required.`);
    return this.single({ type, typePath, args: node.entries.get('args'), argsPath: propertyPath(path, 'args') });
  }

  private toMs(node: ConfigNode, path: string, leastMs: number): ConfigNode {
    if (node.kind === 'broken') return node;
    const value = node.kind === 'value' ? node.value : undefined;
    if (typeof value !== 'number' || !(value >= 0 && value <= DAY_S))
      return this.refuse(node, `${path} must be a number of seconds from 0 to ${DAY_S}.`);
    return { ...node, kind: 'value', value: Math.max(leastMs, Math.round(value * 1_000)), alias: path };
  }

  private refuse({ place }: ConfigNode, complaint: string): BrokenNode {
    this.problems.add(place, complaint);
    return { kind: 'broken', place, complaint };
  }
}

/** There, a count that cannot be meant is one. */
function atLeastOne(requirements: ConfigNode, alias: string): ConfigNode {
  if (requirements.kind !== 'object') return { ...requirements, alias };
  const entries = [...requirements.entries].map(([role, count]): readonly [string, ConfigNode] => {
    const isLess = count.kind === 'value' && typeof count.value === 'number' && count.value < 1;
    return [role, isLess ? { ...count, value: 1 } : { ...count, alias }];
  });
  return { ...requirements, alias, entries: new Map(entries) };
}
