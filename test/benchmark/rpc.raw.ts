import { randomUUID } from 'node:crypto';
import { type Channel, type ChannelModel, connect } from 'amqplib';

const DIRECT_REPLY_TO = 'amq.rabbitmq.reply-to';

interface Waiting {
  readonly resolve: (value: unknown) => void;
  readonly timer: NodeJS.Timeout;
}

export interface RawRpcOptions {
  readonly url: string;
  readonly queue: string;
  readonly queueArguments: Readonly<Record<string, unknown>>;
  /** Unanswered requests that the broker may send ahead to the one who answers. */
  readonly prefetch: number;
  readonly timeoutMs: number;
}

/**
 * Request and reply by hand, as well as the bare client can: a connection each for who asks and who answers, `noDelay`, direct
 * reply-to, persistent requests in a quorum queue, acknowledged when answered. Without confirms on either side.
 */
export class RawRpc {
  private readonly waiting = new Map<string, Waiting>();

  private constructor(
    private readonly connections: readonly ChannelModel[],
    private readonly asking: Channel,
    private readonly options: RawRpcOptions,
  ) {}

  static async open(options: RawRpcOptions): Promise<RawRpc> {
    const { url, queue, queueArguments, prefetch } = options;
    const client = await connect(url, { noDelay: true });
    const server = await connect(url, { noDelay: true });
    const answering = await server.createChannel();
    await answering.assertQueue(queue, { durable: true, arguments: queueArguments });
    await answering.purgeQueue(queue);
    await answering.prefetch(prefetch);
    await answering.consume(queue, (request) => {
      if (!request) return;
      const { replyTo, correlationId } = request.properties as { replyTo: string; correlationId: string };
      const { n } = JSON.parse(request.content.toString()) as { n: number };
      const body = Buffer.from(JSON.stringify({ n: n + 1 }));
      answering.publish('', replyTo, body, { correlationId, contentType: 'application/json' });
      answering.ack(request);
    });
    const asking = await client.createChannel();
    const rpc = new RawRpc([client, server], asking, options);
    await asking.consume(
      DIRECT_REPLY_TO,
      (reply) => {
        if (!reply) return;
        const { correlationId } = reply.properties as { correlationId: string };
        const found = rpc.waiting.get(correlationId);
        if (!found) return;
        rpc.waiting.delete(correlationId);
        clearTimeout(found.timer);
        found.resolve(JSON.parse(reply.content.toString()));
      },
      { noAck: true },
    );
    return rpc;
  }

  ask(n: number): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const correlationId = randomUUID();
      const timer = setTimeout(() => {
        this.waiting.delete(correlationId);
        reject(new Error('no answer'));
      }, this.options.timeoutMs);
      this.waiting.set(correlationId, { resolve, timer });
      this.asking.publish('', this.options.queue, Buffer.from(JSON.stringify({ n })), {
        correlationId,
        replyTo: DIRECT_REPLY_TO,
        persistent: true,
        contentType: 'application/json',
      });
    });
  }

  async close(): Promise<void> {
    await this.asking.deleteQueue(this.options.queue);
    for (const connection of this.connections) await connection.close();
  }
}
