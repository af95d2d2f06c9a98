import { type ChannelModel, type ConfirmChannel, connect } from 'amqplib';
import { type EventBusModuleOptions, EventBusService } from '../../lib/index.js';
import { PREFETCH, Sink, startApp } from './app.js';
import { Countdown } from './countdown.js';
import { type Comparison, type Contender, compare, type Sample, Stopwatch } from './measure.js';
import { order } from './payload.js';

const WINDOW = 1_000;
const EXCHANGE = 'bench';
const QUEUE = 'bench';
const RAW_QUEUE = 'bench.raw';

/** The arguments of a group's queue, so that the broker's work is the same. */
const queueArguments = (name: string): Record<string, unknown> => ({
  'x-queue-type': 'quorum',
  'x-delivery-limit': 20,
  'x-overflow': 'reject-publish',
  'x-dead-letter-exchange': '',
  'x-dead-letter-routing-key': `${name}.dlq`,
  'x-dead-letter-strategy': 'at-least-once',
});

/** The plain client, used as well as it can be: noDelay, confirms, pipelined, persistent. */
class Raw {
  private constructor(
    private readonly connection: ChannelModel,
    readonly channel: ConfirmChannel,
  ) {}

  static async open(url: string): Promise<Raw> {
    const connection = await connect(url, { noDelay: true });
    const channel = await connection.createConfirmChannel();
    for (const name of [EXCHANGE, `${EXCHANGE}.raw`]) await channel.assertExchange(name, 'topic', { durable: true });
    for (const name of [QUEUE, RAW_QUEUE]) {
      await channel.assertQueue(name, { durable: true, arguments: queueArguments(name) });
      await channel.purgeQueue(name);
    }
    await channel.bindQueue(RAW_QUEUE, `${EXCHANGE}.raw`, 'orders.*');
    return new Raw(connection, channel);
  }

  /** Publishes with a window, as `publishAll` does. */
  publish(exchange: string, messages: number): Promise<void> {
    return new Promise((resolve, reject) => {
      let next = 0;
      let confirmed = 0;
      const pump = (): void => {
        while (next < messages && next - confirmed < WINDOW) {
          const body = Buffer.from(JSON.stringify(order(next)));
          const options = {
            persistent: true,
            mandatory: true,
            messageId: String(next),
            contentType: 'application/json',
          };
          next++;
          this.channel.publish(exchange, 'orders.placed', body, options, (error: Error | null) => {
            if (error) return reject(error);
            confirmed++;
            if (confirmed === messages) resolve();
            else pump();
          });
        }
      };
      pump();
    });
  }

  async consume(messages: number): Promise<Sample> {
    const channel = await this.connection.createChannel();
    await channel.prefetch(PREFETCH);
    const countdown = new Countdown(messages);
    let watch: Stopwatch | undefined;
    let sum = 0;
    await channel.consume(RAW_QUEUE, (message) => {
      if (!message) return;
      watch ??= new Stopwatch();
      const { id } = JSON.parse(message.content.toString()) as { id: number };
      sum += id;
      channel.ack(message);
      countdown.tick();
    });
    await countdown.done;
    const sample = (watch ?? new Stopwatch()).stop(messages);
    if (sum <= 0) throw new Error('nothing was consumed');
    await channel.close();
    return sample;
  }

  /** Publishes and consumes at one time, to the last message handled. */
  async endToEnd(messages: number): Promise<Sample> {
    const consumed = this.consume(messages);
    const watch = new Stopwatch();
    await this.publish(`${EXCHANGE}.raw`, messages);
    await consumed;
    return watch.stop(messages);
  }

  async purge(): Promise<void> {
    for (const name of [QUEUE, RAW_QUEUE]) await this.channel.purgeQueue(name);
  }

  async close(): Promise<void> {
    for (const name of [QUEUE, RAW_QUEUE, `${QUEUE}.dlq`]) await this.channel.deleteQueue(name);
    for (const name of [EXCHANGE, `${EXCHANGE}.raw`, `${EXCHANGE}.broadcast`]) await this.channel.deleteExchange(name);
    await this.connection.close();
  }
}

function* orders(messages: number): Generator<{ topic: string; payload: unknown }> {
  for (let i = 0; i < messages; i++) yield { topic: 'orders.placed', payload: order(i) };
}

/** Publishes with `publish()`, so many in flight. */
function publishOurs(bus: EventBusService, messages: number): Promise<void> {
  return new Promise((resolve, reject) => {
    let next = 0;
    let confirmed = 0;
    const onConfirmed = (): void => {
      confirmed++;
      if (confirmed === messages) resolve();
      else pump();
    };
    const pump = (): void => {
      while (next < messages && next - confirmed < WINDOW) {
        bus.publish('orders.placed', order(next++)).then(onConfirmed, reject);
      }
    };
    pump();
  });
}

export async function benchmarkRabbitMq(url: string, quick: boolean): Promise<readonly Comparison[]> {
  const rounds = quick ? 2 : 9;
  const messages = quick ? 4_000 : 30_000;
  const raw = await Raw.open(url);
  const options: EventBusModuleOptions = { service: 'bench', exchange: EXCHANGE, transport: url, autoStart: false };
  const results: Comparison[] = [];

  const publishing = await startApp(options);
  const bus = publishing.get(EventBusService);
  const publishRaw: Contender = {
    name: 'amqplib, confirm channel',
    round: async (n) => {
      const watch = new Stopwatch();
      await raw.publish(`${EXCHANGE}.raw`, n);
      const sample = watch.stop(n);
      await raw.purge();
      return sample;
    },
  };
  const publishBus: Contender = {
    name: 'bus.publish()',
    round: async (n) => {
      const watch = new Stopwatch();
      await publishOurs(bus, n);
      const sample = watch.stop(n);
      await raw.purge();
      return sample;
    },
  };
  const publishAll: Contender = {
    name: 'bus.publishAll()',
    round: async (n) => {
      const watch = new Stopwatch();
      await bus.publishAll(orders(n));
      const sample = watch.stop(n);
      await raw.purge();
      return sample;
    },
  };
  results.push(await compare('publish, confirmed, 1,000 in flight', publishBus, publishRaw, { rounds, messages }));
  results.push(
    await compare('publishAll, confirmed', publishAll, publishRaw, { rounds: Math.ceil(rounds / 2), messages }),
  );
  await publishing.close();

  const consumeRaw: Contender = {
    name: 'amqplib, consume + ack',
    round: async (n) => {
      await raw.publish(`${EXCHANGE}.raw`, n);
      return raw.consume(n);
    },
  };
  const consumeBus: Contender = {
    name: '@OnEvent method',
    round: async (n) => {
      const app = await startApp(options);
      await raw.publish(EXCHANGE, n);
      const countdown = new Countdown(n);
      let watch: Stopwatch | undefined;
      app.get(Sink).onOrder = () => {
        watch ??= new Stopwatch();
        countdown.tick();
      };
      await app.get(EventBusService).start();
      await countdown.done;
      const sample = (watch ?? new Stopwatch()).stop(n);
      await app.close();
      return sample;
    },
  };
  results.push(await compare('consume + ack, prefetch 250', consumeBus, consumeRaw, { rounds, messages }));

  const app = await startApp({ ...options, autoStart: true });
  const endToEndBus: Contender = {
    name: 'bus.publish() to @OnEvent method',
    round: async (n) => {
      const countdown = new Countdown(n);
      app.get(Sink).onOrder = () => countdown.tick();
      const watch = new Stopwatch();
      await publishOurs(app.get(EventBusService), n);
      await countdown.done;
      return watch.stop(n);
    },
  };
  const endToEndRaw: Contender = { name: 'amqplib', round: (n) => raw.endToEnd(n) };
  results.push(await compare('end to end', endToEndBus, endToEndRaw, { rounds: Math.ceil(rounds / 2), messages }));
  await app.close();
  await raw.close();
  return results;
}
