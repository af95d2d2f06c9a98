import { ConfigurationError } from '../core/errors.js';
import type { Exchange, ExchangeHandler } from '../core/exchange.js';
import { hint } from '../core/text.js';
import type { Target } from '../core/transport.js';
import { FanoutExchange } from '../exchanges/fanout.exchange.js';
import { TopicExchange } from '../exchanges/topic.exchange.js';
import { commandGroup } from './command-group.js';
import { qualify, type ResolvedOptions } from './resolved-options.js';

/** The only target of events. */
export type ExchangeTarget = Extract<Target, { kind: 'exchange' }>;

/** The target of one command. */
export type CommandTarget = Extract<Target, { kind: 'group' }>;

/** Commands whose target is remembered; forgotten together, so that endless new names cost no memory. */
const REMEMBERED = 1_000;

/** One exchange of a bus, with what belongs to it. */
export interface BusExchange {
  /** As users call it: without the namespace. */
  readonly name: string;
  readonly events: ExchangeTarget;
  /** What reaches every instance. Absent of an alternate exchange. */
  readonly broadcasts?: ExchangeTarget;
  /** Of an alternate exchange: the group for which all is kept that comes there, without the namespace. */
  readonly keptBy?: string;
}

/** The exchanges of one bus by name: the one of the option `exchange`, those of `exchanges`, and the alternate of each. */
export class BusExchanges {
  readonly main: BusExchange;
  private readonly named = new Map<string, BusExchange>();
  private readonly alternateByName = new Map<string, BusExchange>();
  private readonly commands = new Map<string, CommandTarget>();

  constructor(
    private readonly options: Pick<ResolvedOptions, 'exchange' | 'namespace'>,
    handler: ExchangeHandler,
    others: Readonly<Record<string, ExchangeHandler>> = {},
  ) {
    const add = (name: string, rule: ExchangeHandler): BusExchange => {
      const target = (suffix: string, ruled = rule): ExchangeTarget => ({
        kind: 'exchange',
        exchange: { name: qualify(options, `${name}${suffix}`), handler: ruled },
      });
      const made: BusExchange = { name, events: target(''), broadcasts: target('.broadcast') };
      this.named.set(name, made);
      const alternate = `${name}.ae`;
      this.alternateByName.set(alternate, {
        name: alternate,
        events: target('.ae', new FanoutExchange()),
        keptBy: `${name}.unroutable`,
      });
      return made;
    };
    this.main = add(options.exchange.name, handler);
    for (const [name, rule] of Object.entries(others)) add(name, rule);
  }

  /** Those that are there from the start; an alternate one is declared when it is used. */
  get declared(): readonly BusExchange[] {
    return [...this.named.values()];
  }

  /** The alternate one of each. */
  get alternates(): readonly BusExchange[] {
    return [...this.alternateByName.values()];
  }

  find(name: string | undefined): BusExchange | undefined {
    return name === undefined ? this.main : (this.named.get(name) ?? this.alternateByName.get(name));
  }

  /** Where what no group of an exchange gets can go. */
  alternateOf({ name }: BusExchange): BusExchange | undefined {
    return this.alternateByName.get(`${name}.ae`);
  }

  /**
   * The queue of a command.
   *
   * @throws ConfigurationError for a topic that can name none
   */
  commandTarget(topic: string): CommandTarget {
    let target = this.commands.get(topic);
    if (!target) {
      target = { kind: 'group', group: qualify(this.options, commandGroup(this.main.name, topic)) };
      if (this.commands.size >= REMEMBERED) this.commands.clear();
      this.commands.set(topic, target);
    }
    return target;
  }

  /** One that groups may still be bound to, although it is not in the options any more: it is never declared for that. */
  formerly(name: string): Exchange {
    return this.find(name)?.events.exchange ?? { name: qualify(this.options, name), handler: new TopicExchange() };
  }

  /** @throws ConfigurationError for a name that is not in the options */
  get(name: string | undefined): BusExchange {
    const found = this.find(name);
    if (found) return found;
    throw new ConfigurationError(this.complaintAbout(name));
  }

  /** What to say of a name that is not in the options. */
  complaintAbout(name: unknown): string {
    if (typeof name !== 'string') return 'exchange must be the name of an exchange of this bus.';
    return `This bus has no exchange "${name}". ${hint(name, [...this.named.keys()])} Exchanges besides the main one are declared in the option exchanges.`;
  }
}
