import { type Check, integer, shape } from '../core/options.js';
import { exponential, fixed, type RetryPolicy } from '../core/retry-policy.js';
import { brokenIn, type ConfigNode, isNull, type ObjectNode, secretIn, toValue } from './config-node.js';
import { childPath, propertyPath } from './config-path.js';
import type { ConfigProblems } from './config-problems.js';

interface Helper {
  readonly required: readonly string[];
  readonly check: Check;
  make(settings: unknown): RetryPolicy;
}

const ATTEMPTS = integer(1, 100);
const MS = integer(1, 86_400_000);
const FACTOR: Check = (value, path, problems) => {
  if (typeof value !== 'number' || value < 1 || value > 100) problems.push(`${path} must be a number from 1 to 100.`);
};

const HELPERS: Readonly<Record<string, Helper>> = {
  exponential: {
    required: ['attempts', 'initialMs'],
    check: shape({ attempts: ATTEMPTS, initialMs: MS, factor: FACTOR, maxMs: MS }),
    make: (settings) => exponential(settings as Parameters<typeof exponential>[0]),
  },
  fixed: {
    required: ['attempts', 'delayMs'],
    check: shape({ attempts: ATTEMPTS, delayMs: MS }),
    make: (settings) => fixed(settings as Parameters<typeof fixed>[0]),
  },
};

/** Retry policies that name a rule for their delays get the delays. */
export function expandRetries(root: ConfigNode, problems: ConfigProblems): ConfigNode {
  if (root.kind !== 'object') return root;
  return changed(root, 'consume', '', (consume, path) => {
    const own = ['retry', 'unmatched'].reduce<ConfigNode>(
      (node, key) => changed(node, key, path, (policy, at) => expanded(policy, at, problems)),
      consume,
    );
    return changed(own, 'groups', path, (groups, at) => {
      if (groups.kind !== 'object') return groups;
      const entries = [...groups.entries].map(([group, settings]): readonly [string, ConfigNode] => {
        const groupPath = childPath(groups, at, group);
        return [group, changed(settings, 'retry', groupPath, (policy, path) => expanded(policy, path, problems))];
      });
      return { ...groups, entries: new Map(entries) };
    });
  });
}

function changed(
  node: ConfigNode,
  key: string,
  path: string,
  change: (child: ConfigNode, path: string) => ConfigNode,
): ConfigNode {
  const child = node.kind === 'object' ? node.entries.get(key) : undefined;
  if (node.kind !== 'object' || child === undefined) return node;
  return { ...node, entries: new Map(node.entries).set(key, change(child, childPath(node, path, key))) };
}

function expanded(policy: ConfigNode, path: string, problems: ConfigProblems): ConfigNode {
  if (policy.kind !== 'object') return policy;
  const set = [...policy.entries].filter(([, node]) => !isNull(node)).map(([key]) => key);
  const names = set.filter((key) => Object.hasOwn(HELPERS, key));
  const [name] = names;
  if (name === undefined) return policy;
  const delaysOf = (delaysMs: ConfigNode): ObjectNode => {
    const rest = [...policy.entries].filter(([key]) => !Object.hasOwn(HELPERS, key) && key !== 'delaysMs');
    return { ...policy, entries: new Map([...rest, ['delaysMs', delaysMs]]) };
  };
  const rule = policy.entries.get(name) ?? policy;
  const at = childPath(policy, path, name);
  const broken = brokenIn(rule);
  if (broken) return delaysOf(broken);
  const refuse = (complaints: readonly string[]): ObjectNode => {
    const [first] = complaints.map((complaint) => problems.addAbout(rule, complaint, at.length));
    return delaysOf(first ?? rule);
  };
  const others = set.filter((key) => key !== name && (key === 'delaysMs' || Object.hasOwn(HELPERS, key)));
  if (others.length > 0) {
    return refuse([
      `${path} has ${[name, ...others].join(' and ')}; keep one. (null takes away what another file has set.)`,
    ]);
  }
  const made = delays(name, rule, at);
  if ('complaints' in made) return refuse(made.complaints);
  const writtenAs = secretIn(rule)?.writtenAs;
  const origin = { place: rule.place, ...(writtenAs !== undefined && { writtenAs }) };
  const items = made.delaysMs.map((value): ConfigNode => ({ kind: 'value', ...origin, value }));
  return delaysOf({ kind: 'list', place: rule.place, items });
}

function delays(
  name: string,
  rule: ConfigNode,
  path: string,
): RetryPolicy | { readonly complaints: readonly string[] } {
  const helper = HELPERS[name];
  const settings = toValue(rule);
  const complaints: string[] = [];
  helper?.check(settings, path, complaints);
  if (rule.kind === 'object') {
    for (const key of helper?.required ?? []) {
      if (!rule.entries.has(key)) complaints.push(`${propertyPath(path, key)} is required.`);
    }
  }
  return helper === undefined || complaints.length > 0 ? { complaints } : helper.make(settings);
}
