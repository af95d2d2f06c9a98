import type { Channel, ChannelModel } from 'amqplib';
import type { Binding, BindingRule, Exchange } from '../../core/exchange.js';
import { NO_HEADERS, readHeaders } from '../../core/headers.js';
import { defectOf, type Received } from './rabbitmq.codec.js';
import { type RabbitMqRuleTables, type RecordedRule, type RuleTable, versionOf } from './rabbitmq.rule-table.js';

/** The number of changes can be the same again, seldom, when what counts them was emptied. Then it is noticed so late. */
const REREAD_MS = 10_000;

/** Where the rules of a group are written down. */
export interface SharedRules {
  /** Where its messages are. */
  readonly queue: string;
  readonly connection: ChannelModel;
  readonly tables: RabbitMqRuleTables;
  /** Whether rules of its own belong there: they are written down again when they were lost. */
  readonly isMember: boolean;
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
  private table: RuleTable | undefined;
  private readAt = 0;

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

  /** Whether rules were lost, and some may not be written down again yet. Then all passes. */
  get isInDoubt(): boolean {
    return this.table !== undefined && Date.now() < this.table.doubtUntil;
  }

  /** What cannot be judged passes: so that it is told of, and kept, where messages are handled. */
  passes(received: Received): boolean {
    const { exchange: name, routingKey: topic } = received.fields;
    const sifted = this.sifted.get(name);
    if (!sifted || this.isInDoubt) return true;
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
   * dropped: whoever wants it had its rule written down before the message was published. And from time to time, for what
   * was lost of its own.
   *
   * @param isToDrop whether something is going to be dropped
   * @throws what the broker says; then the channel is closed
   */
  async renew(channel: Channel, isToDrop: boolean): Promise<void> {
    if (!this.shared) return;
    const { queue, connection, tables, isMember } = this.shared;
    const isOld = isToDrop && Date.now() - this.readAt >= REREAD_MS;
    if (!isOld && (await versionOf(channel, queue)) === this.table?.version) return;
    this.apply(await tables.enter(connection, queue, isMember ? this.bindings : [], [], this.table?.epoch));
  }

  private apply(table: RuleTable | undefined): void {
    this.table = table;
    this.readAt = Date.now();
    const recorded = table?.rules ?? [];
    for (const [name, sifted] of this.sifted) {
      const own = this.bindings.filter(({ exchange }) => exchange.name === name);
      sifted.rules = [...own, ...recorded.filter((rule: RecordedRule) => rule.exchange === name)];
    }
  }
}
