import type { Channel, ChannelModel } from 'amqplib';
import type { Binding, BindingRule, Exchange } from '../../core/exchange.js';
import { NO_HEADERS, readHeaders } from '../../core/headers.js';
import { defectOf, type Received } from './rabbitmq.codec.js';
import { type RabbitMqRuleTables, type RecordedRule, type RuleTable, versionOf } from './rabbitmq.rule-table.js';

/** Where the rules of a group are written down. */
export interface SharedRules {
  readonly group: string;
  readonly connection: ChannelModel;
  readonly tables: RabbitMqRuleTables;
}

interface Sifted {
  readonly exchange: Exchange;
  rules: readonly BindingRule[];
}

/**
 * Applies rules at a consumer that its broker does not: of what came by one of these exchanges it lets pass what one of the
 * bindings asks for. Copies (retries, replays, dead letters) come by the default exchange and are never judged again.
 */
export class RabbitMqSieve {
  private readonly sifted = new Map<string, Sifted>();
  private version: number | undefined;

  constructor(
    private readonly bindings: readonly Binding[],
    private readonly shared?: SharedRules,
    table?: RuleTable,
  ) {
    for (const { exchange } of bindings) this.sifted.set(exchange.name, { exchange, rules: [] });
    this.apply(table);
  }

  /** Whether nobody else can have bound the queue to more. */
  get isSure(): boolean {
    return this.shared === undefined;
  }

  /** What cannot be judged passes: so that it is told of, and kept, where messages are handled. */
  passes(received: Received): boolean {
    const { exchange: name, routingKey: topic } = received.fields;
    const sifted = this.sifted.get(name);
    if (!sifted) return true;
    const { handler } = sifted.exchange;
    if (handler.usesHeaders && defectOf(received) !== undefined) return true;
    const headers = handler.usesHeaders ? readHeaders(received.properties.headers) : NO_HEADERS;
    try {
      return sifted.rules.some((rule) => handler.matches(rule, { topic, headers }));
    } catch {
      return true;
    }
  }

  /**
   * Asks whether the group has other rules by now. To be done after a message has come that is not wanted, and before it is
   * dropped: whoever wants it had its rule written down before the message was published.
   *
   * @throws what the broker says; then the channel is closed
   */
  async renew(channel: Channel): Promise<void> {
    if (!this.shared || (await versionOf(channel, this.shared.group)) === this.version) return;
    const { group, connection, tables } = this.shared;
    this.apply(await tables.enter(connection, group));
  }

  private apply(table: RuleTable | undefined): void {
    this.version = table?.version;
    const recorded = table?.rules ?? [];
    for (const [name, sifted] of this.sifted) {
      const own = this.bindings.filter(({ exchange }) => exchange.name === name);
      sifted.rules = [...own, ...recorded.filter((rule: RecordedRule) => rule.exchange === name)];
    }
  }
}
