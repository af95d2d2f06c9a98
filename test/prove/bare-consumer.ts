import { type Channel, type ChannelModel, type ConsumeMessage, connect, type MessageProperties } from 'amqplib';
import type { Aim, Consumer, Effects } from './attacks.proof.js';

const ATTEMPTS = 3;
const EXCHANGE = 'attacks-bare';
const RECONNECT_MS = 20;
/** Then the point has been made. */
const RECONNECTS = 5;

export function noEffects(): Effects {
  return {
    calls: 0,
    successes: 0,
    inheritedHeaders: 0,
    forgedTopics: 0,
    forgedAttempts: 0,
    mergedPrototypes: 0,
    unwritable: 0,
    breakdowns: 0,
    good: 0,
  };
}

/** What a handler does with what it is given, and what became of that. */
export function observe(
  effects: Effects,
  payload: unknown,
  headers: object,
  topic: string,
  published: string,
  attempt: number,
): void {
  const { kind, fails } = payload as { readonly kind?: string; readonly fails?: boolean };
  if (kind === 'good') {
    effects.good++;
    return;
  }
  effects.calls++;
  if ('isAdmin' in headers) effects.inheritedHeaders++;
  if (topic !== published) effects.forgedTopics++;
  if (fails !== true && attempt !== 1) effects.forgedAttempts++;
  if ('isAdmin' in Object.assign({}, payload)) effects.mergedPrototypes++;
  try {
    JSON.stringify(payload);
  } catch {
    effects.unwritable++;
  }
  if (fails) throw new Error('as it was asked to');
  effects.successes++;
}

/**
 * A consumer as it is often written: it reconnects, counts attempts in headers, and publishes what has failed again, with
 * the properties that it came with.
 */
export class BareConsumer implements Consumer {
  readonly effects = noEffects();
  readonly aim: Aim;
  private connection: ChannelModel | undefined;
  private isClosed = false;
  private reconnects = 0;

  private constructor(
    private readonly url: string,
    private readonly queue: string,
  ) {
    this.aim = { url, exchange: EXCHANGE, routingKey: `${queue}.created`, victim: `${queue}.victim` };
  }

  static async start(url: string, queue: string): Promise<BareConsumer> {
    const consumer = new BareConsumer(url, queue);
    await consumer.open();
    return consumer;
  }

  async countDead(): Promise<number> {
    const connection = await connect(this.url);
    try {
      return (await (await connection.createChannel()).checkQueue(`${this.queue}.dead`)).messageCount;
    } finally {
      await connection.close();
    }
  }

  async close(): Promise<void> {
    this.isClosed = true;
    await this.connection?.close().catch(() => undefined); // it may be broken at the moment
  }

  private async open(): Promise<void> {
    const connection = await connect(this.url);
    this.connection = connection;
    connection.on('error', () => this.effects.breakdowns++);
    connection.on('close', () => {
      if (this.isClosed || this.reconnects++ >= RECONNECTS) return;
      setTimeout(() => void this.open(), RECONNECT_MS);
    });
    const channel = await connection.createChannel();
    channel.on('error', () => undefined);
    await channel.assertExchange(EXCHANGE, 'topic');
    for (const queue of [this.queue, `${this.queue}.dead`, `${this.queue}.victim`]) await channel.assertQueue(queue);
    await channel.bindQueue(this.queue, EXCHANGE, `${this.queue}.*`);
    await channel.prefetch(10);
    await channel.consume(this.queue, (message) => {
      if (message) this.onMessage(channel, message).catch(() => this.effects.breakdowns++);
    });
  }

  private async onMessage(channel: Channel, message: ConsumeMessage): Promise<void> {
    const { content, fields } = message;
    // the declaration of the driver says that there are some
    const properties = message.properties as MessageProperties;
    const headers = (properties.headers ?? {}) as Record<string, unknown>;
    const deaths = headers['x-death'] as { readonly queue: string; readonly count: number }[] | undefined;
    const died = deaths?.reduce((sum, { count }) => sum + count, 0) ?? 0;
    const attempt = Number(headers['x-attempt'] ?? 1) + died;
    if (attempt > ATTEMPTS) {
      channel.sendToQueue(`${this.queue}.dead`, content, properties);
      channel.ack(message);
      return;
    }
    const topic = (headers['x-original-routing-key'] as string | undefined) ?? fields.routingKey;
    try {
      observe(this.effects, JSON.parse(content.toString()), headers, topic, this.aim.routingKey, attempt);
    } catch {
      // to this queue only, so by the default exchange; what it was published to has to be kept somewhere
      const next = { ...headers, 'x-attempt': attempt + 1, 'x-original-routing-key': topic };
      channel.sendToQueue(this.queue, content, { ...properties, headers: next });
    }
    channel.ack(message);
  }
}
