import { randomUUID } from 'node:crypto';
import type { Binding, Exchange, ExchangeHandler } from '../../core/exchange.js';
import type { Message } from '../../core/message.js';
import type { Routed, Source, Transport } from '../../core/transport.js';
import { TopicExchange } from '../../exchanges/topic.exchange.js';
import type { ContractHarness } from './contract.js';

const CLOSE_MS = 2_000;

/** What one case works with: unique names, the transports it has opened, and the order left behind. */
export class Bench {
  /** In front of every name that the case gives, so that cases never meet on one broker. */
  readonly name = `ct-${randomUUID().slice(0, 8)}`;
  /** The case's topic exchange. */
  readonly exchange: Exchange;
  private readonly exchanges = new Map<string, Exchange>();
  protected readonly groups = new Set<string>();
  private readonly others = new Set<string>();
  /** Services that have run in the case. */
  protected readonly services = new Set<string>();
  /** Every transport of the case, connected or not. */
  readonly opened: Transport[] = [];

  constructor(readonly harness: ContractHarness) {
    this.exchange = this.newExchange('events');
  }

  newExchange(suffix: string, handler: ExchangeHandler = new TopicExchange()): Exchange {
    const exchange = { name: `${this.name}.${suffix}`, handler };
    this.exchanges.set(exchange.name, exchange);
    return exchange;
  }

  /** Exchanges that the case declares in another way, to be removed with it. */
  willRemove(...exchanges: readonly string[]): void {
    for (const name of exchanges) this.others.add(name);
  }

  /** The unique name of a group. */
  group(suffix = 'group'): string {
    const group = `${this.name}.${suffix}`;
    this.groups.add(group);
    return group;
  }

  /** The source of a group; by default it asks for everything on the case's exchange. */
  shared(suffix = 'group', over: Partial<Source> = {}): Source {
    return { ...this.own(over), group: this.group(suffix) };
  }

  /** A private source. */
  own(over: Partial<Source> = {}): Source {
    const deadLetterGroup = this.group('broadcast');
    return { bindings: this.bind('#'), owner: this.name, deadLetterGroup, prefetch: 10, ...over };
  }

  bind(...patterns: readonly string[]): readonly Binding[] {
    return patterns.map((pattern) => ({ exchange: this.exchange, pattern }));
  }

  /** A new transport, not connected. */
  async create(): Promise<Transport> {
    const transport = await this.harness.createTransport();
    this.opened.push(transport);
    return transport;
  }

  /** A new transport, connected, with the case's exchanges and these sources declared. */
  async open(...sources: readonly Source[]): Promise<Transport> {
    const transport = await this.create();
    await transport.connect({ exchanges: [...this.exchanges.values()], sources });
    return transport;
  }

  publish(transport: Transport, message: Message, exchange: Exchange = this.exchange): Promise<Routed> {
    return transport.publish({ kind: 'exchange', exchange }, message);
  }

  publishAll(transport: Transport, messages: readonly Message[], exchange?: Exchange): Promise<readonly Routed[]> {
    return Promise.all(messages.map((message) => this.publish(transport, message, exchange)));
  }

  /** Closes what the case has opened and removes what it has declared. */
  async dispose(): Promise<void> {
    const closed = this.opened.map((transport) => transport.close({ deadlineMs: CLOSE_MS }));
    await Promise.all(closed);
    await this.harness.cleanup?.({
      groups: [...this.groups],
      exchanges: [...this.exchanges.keys(), ...this.others],
      services: [...this.services],
    });
  }
}
