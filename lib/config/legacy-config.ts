import type { BusLogger } from '../core/logger.js';
import { integer, oneOf, text } from '../core/options.js';
import { type ConfigNode, isNull, type ObjectNode, toValue } from './config-node.js';
import type { ConfigProblems } from './config-problems.js';
import {
  LEGACY_ALIASES,
  LEGACY_CACHE_POLICIES,
  LEGACY_EXCHANGE_TYPES,
  LEGACY_LOG_LEVELS,
  LEGACY_SERIALIZERS,
} from './legacy-aliases.js';
import { LegacyStartup } from './legacy-startup.js';
import { LeveledLogger, type LogLevel } from './leveled-logger.js';

/** A name or address, and nothing that would change what the URL means. */
const HOST = text(/^([\w.-]{1,253}|[\da-f:.]{2,45})$/i, 'the name or the address of a host');
const PORT = integer(1, 65_535);

/** Without these no key of a file is an older one: `serializer` and its values may be both. */
const KEYS: readonly string[] = LEGACY_ALIASES.map(({ key }) => key).filter((key) => key !== 'serializer');

export interface LegacyParts {
  readonly problems: ConfigProblems;
  /** Told what has no effect. */
  warn(text: string): void;
  logger(context: string | undefined): BusLogger;
}

/** Puts options in place of the keys of EventBusClient's configuration, each of which may stand beside options. */
export function withoutLegacy(root: ObjectNode, parts: LegacyParts): ObjectNode {
  const names = root.entries.get('serializer');
  const isSerializer =
    names?.kind === 'value' && typeof names.value === 'string' && Object.hasOwn(LEGACY_SERIALIZERS, names.value);
  if (!isSerializer && !KEYS.some((key) => root.entries.has(key))) return root;
  return new LegacyConfig(root, parts).translate(isSerializer);
}

class LegacyConfig {
  private readonly entries: Map<string, ConfigNode>;

  constructor(
    private readonly root: ObjectNode,
    private readonly parts: LegacyParts,
  ) {
    this.entries = new Map([...root.entries].filter(([key]) => !KEYS.includes(key)));
  }

  translate(isSerializer: boolean): ObjectNode {
    if (isSerializer) this.serializer();
    this.transport();
    this.exchange();
    this.prefetch();
    this.generalCache();
    this.startup();
    this.logger();
    for (const { key, options, meaning } of LEGACY_ALIASES) {
      const node = this.given(key);
      if (options !== undefined || node === undefined || isDefault(key, node)) continue;
      this.warn(node, `${key} has no effect. ${meaning}`);
    }
    return { ...this.root, entries: this.entries };
  }

  private serializer(): void {
    const node = this.root.entries.get('serializer');
    if (node?.kind !== 'value') return;
    const known = LEGACY_SERIALIZERS[String(node.value)];
    if (known && 'name' in known) this.entries.set('serializer', { ...node, value: known.name });
    else if (known) this.refuse('serializer', node, `serializer: ${known.refusal}`);
  }

  private transport(): void {
    const host = this.checked('host', (value, problems) => HOST(value, 'host', problems));
    const port = this.checked('port', (value, problems) => PORT(value, 'port', problems));
    for (const key of ['host', 'port']) if (this.conflicts(key, 'transport')) return;
    if (this.entries.has('transport')) return;
    const broken = [host, port].find((node) => node?.kind === 'broken');
    const place = (host ?? port ?? this.root).place;
    if (broken) return void this.entries.set('transport', broken);
    const name = host === undefined ? 'localhost' : String(toValue(host));
    const url = `amqp://${name.includes(':') ? `[${name}]` : name}:${port === undefined ? 5672 : String(toValue(port))}`;
    const writtenAs = host?.writtenAs ?? port?.writtenAs;
    const alias = host ? 'host' : 'port';
    this.entries.set('transport', { kind: 'value', place, value: url, alias, ...(writtenAs && { writtenAs }) });
  }

  private prefetch(): void {
    const prefetch = this.given('qos_prefetch');
    if (prefetch === undefined || this.conflicts('qos_prefetch', 'consume', 'prefetch')) return;
    this.setWithin('consume', 'prefetch', aliased(prefetch, 'qos_prefetch'));
  }

  private startup(): void {
    const several = this.given('startup_policies');
    const one = this.given('startup_policy');
    this.warnOfVain(several === undefined, 'There are no startup_policies.', [
      'startup_policies_mode',
      'startup_policies_fail_fast',
    ]);
    this.warnOfVain(one === undefined, 'There is no startup_policy.', ['startup_policy_args']);
    const key = several ? 'startup_policies' : 'startup_policy';
    if (this.conflicts(key, 'startup', 'policy')) return;
    const startup = new LegacyStartup(this.parts.problems);
    if (several) {
      this.warnOfVain(true, 'There are startup_policies.', ['startup_policy']);
      const mode = ['mode', 'startup_policies_mode', this.given('startup_policies_mode')] as const;
      const failFast = ['failFast', 'startup_policies_fail_fast', this.given('startup_policies_fail_fast')] as const;
      this.setWithin('startup', 'policy', startup.chain(several, key, [mode, failFast]));
    } else if (one) {
      const args = this.given('startup_policy_args');
      const policy = startup.single({ type: one, typePath: key, args, argsPath: 'startup_policy_args' });
      this.setWithin('startup', 'policy', policy);
    }
  }

  private warnOfVain(isVain: boolean, reason: string, keys: readonly string[]): void {
    for (const key of keys) {
      const node = this.given(key);
      if (isVain && node)
        this.parts.warn(`${node.place.source.lineAt(node.place.offset)}: ${key} has no effect. ${reason}`);
    }
  }

  private setWithin(option: string, key: string, node: ConfigNode): void {
    const outer = this.entries.get(option);
    if (outer !== undefined && outer.kind !== 'object') return; // which is said
    const entries = new Map([...(outer?.entries ?? []), [key, node] as const]);
    this.entries.set(option, { ...outer, kind: 'object', place: outer?.place ?? node.place, entries });
  }

  private exchange(): void {
    const name = this.given('exchange_name');
    const handler = this.checked('exchange_handler', (value, problems) => {
      const before = problems.length;
      oneOf(Object.keys(LEGACY_EXCHANGE_TYPES))(value, 'exchange_handler', problems);
      if (problems.length > before)
        problems.push('exchange_handler: a rule of your own is a module, in the option exchange.');
    });
    for (const key of ['exchange_name', 'exchange_handler']) if (this.conflicts(key, 'exchange')) return;
    const entries = new Map<string, ConfigNode>();
    if (name) entries.set('name', aliased(name, 'exchange_name'));
    if (handler?.kind === 'value') {
      const type = LEGACY_EXCHANGE_TYPES[String(handler.value)];
      entries.set('type', { ...handler, value: type, alias: 'exchange_handler' });
    } else if (handler) entries.set('type', handler);
    const first = name ?? handler;
    if (first) this.entries.set('exchange', { kind: 'object', place: first.place, entries });
  }

  private generalCache(): void {
    const policy = this.checked('general_cache_policy', (value, problems) =>
      oneOf(Object.keys(LEGACY_CACHE_POLICIES))(value, 'general_cache_policy', problems),
    );
    const pattern = this.checked('general_routing_keys', (value, problems) =>
      text()(value, 'general_routing_keys', problems),
    );
    for (const key of ['general_cache_policy', 'general_routing_keys']) if (this.conflicts(key, 'cache')) return;
    if (policy === undefined || toValue(policy) === 'off') {
      if (pattern) this.warn(pattern, 'general_routing_keys has no effect. general_cache_policy is off.');
      return;
    }
    const alias = 'general_cache_policy';
    const when: ConfigNode =
      policy.kind === 'value' ? { ...policy, value: LEGACY_CACHE_POLICIES[String(policy.value)], alias } : policy;
    const patterns: ConfigNode = pattern
      ? aliased(pattern, 'general_routing_keys')
      : { kind: 'value', place: policy.place, value: 'general', alias };
    const entries = new Map([['policy', when] as const, ['patterns', patterns] as const]);
    this.entries.set('cache', { kind: 'object', place: policy.place, entries });
  }

  private logger(): void {
    const context = this.checked('logger_name', (value, problems) => text()(value, 'logger_name', problems));
    const level = this.checked('loglevel', (value, problems) =>
      oneOf(Object.keys(LEGACY_LOG_LEVELS))(value, 'loglevel', problems),
    );
    const file = this.checked('logfile', (value, problems) => text()(value, 'logfile', problems));
    for (const key of ['logger_name', 'loglevel', 'logfile']) if (this.conflicts(key, 'logger')) return;
    const all = [context, level, file].filter((node) => node !== undefined);
    const [first] = all;
    if (first === undefined) return;
    const broken = all.find((node) => node.kind === 'broken');
    if (broken) return void this.entries.set('logger', broken);
    const target = file && toValue(file);
    if (file && target !== 'nonlog' && target !== 'console')
      this.warn(file, 'logfile has no effect. No file is written; give the application a logger that writes one.');
    const least: LogLevel =
      target === 'nonlog' ? 'none' : (LEGACY_LOG_LEVELS[String(level && toValue(level))] ?? 'debug');
    const base = this.parts.logger(context && String(toValue(context)));
    this.entries.set('logger', { kind: 'value', place: first.place, value: new LeveledLogger(base, least) });
  }

  /** Null is what the default was. */
  private given(key: string): ConfigNode | undefined {
    const node = this.root.entries.get(key);
    return node === undefined || isNull(node) ? undefined : node;
  }

  /** What is given; broken, after it has been said, when it is wrong. */
  private checked(key: string, check: (value: unknown, problems: string[]) => void): ConfigNode | undefined {
    const node = this.given(key);
    if (node === undefined || node.kind === 'broken') return node;
    const complaints: string[] = [];
    check(toValue(node), complaints);
    const [first] = complaints.map((complaint) => this.parts.problems.addAbout(node, complaint, key.length));
    return first ?? node;
  }

  /** Whether a file says the same thing in both ways, which is said. */
  private conflicts(key: string, option: string, inner?: string): boolean {
    const node = this.given(key);
    const other = this.root.entries.get(option);
    const same = inner !== undefined && other?.kind === 'object' ? other.entries.get(inner) : other;
    if (node === undefined || same === undefined || (inner !== undefined && other?.kind !== 'object')) return false;
    const path = inner === undefined ? option : `${option}.${inner}`;
    this.parts.problems.add(node.place, `${key} and ${path} say the same; keep ${path}.`);
    return true;
  }

  private warn({ place }: ConfigNode, what: string): void {
    this.parts.warn(`${place.source.lineAt(place.offset)}: ${what}`);
  }

  private refuse(option: string, { place }: ConfigNode, complaint: string): void {
    this.parts.problems.add(place, complaint);
    this.entries.set(option, { kind: 'broken', place, complaint });
  }
}

function aliased(node: ConfigNode, alias: string): ConfigNode {
  return { ...node, alias };
}

/** What it does is what is done anyway. */
function isDefault(key: string, node: ConfigNode): boolean {
  return key === 'auto_reconnect' && toValue(node) === true;
}
