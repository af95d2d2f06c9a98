import type { ConfirmChannel, ConsumeMessage } from 'amqplib';
import { BusClosedError } from '../../core/errors.js';
import type { Message } from '../../core/message.js';
import type { ReplyOptions, ReplyPath, Routed, Target, TransportPublishOptions } from '../../core/transport.js';
import { rpc } from './rabbitmq.channel.js';
import { toMessage } from './rabbitmq.codec.js';
import type { RabbitMqLink } from './rabbitmq.link.js';
import { RabbitMqPublisher } from './rabbitmq.publisher.js';
import type { PublisherSettings } from './rabbitmq.publisher.settings.js';

const DIRECT_REPLY_TO = 'amq.rabbitmq.reply-to';

/** A publisher whose channel also consumes the answers, as direct reply-to demands. */
export class RabbitMqReplyPath implements ReplyPath {
  readonly address = DIRECT_REPLY_TO;
  private readonly publisher: RabbitMqPublisher;
  private readonly ready: Promise<void>;
  private readonly end = new AbortController();

  constructor(
    link: RabbitMqLink,
    settings: Omit<PublisherSettings, 'prepare' | 'onPrepared' | 'onPrepareFailed' | 'bound'>,
    onReply: (message: Message) => void,
    private readonly options: ReplyOptions,
    private readonly onClosed: () => void,
  ) {
    const { isAwaited = () => false, onLost = () => undefined } = options;
    let opened: (() => void) | undefined;
    this.ready = new Promise((resolve) => {
      opened = resolve;
    });
    this.publisher = new RabbitMqPublisher(link, {
      ...settings,
      prepare: (channel) => consumeReplies(channel, onReply),
      onPrepared: () => opened?.(),
      bound: { isNeeded: isAwaited, onLost },
    });
  }

  /** Resolves when answers can come; else it is closed. */
  async open(): Promise<void> {
    const { signal } = this.options;
    const giveUp = (): void => this.end.abort(signal?.reason);
    signal?.addEventListener('abort', giveUp, { once: true });
    if (signal?.aborted) giveUp();
    this.publisher.open();
    try {
      await rpc(this.ready, 'open the reply channel', undefined, this.end.signal);
    } catch (error) {
      await this.close();
      throw error;
    } finally {
      signal?.removeEventListener('abort', giveUp);
    }
  }

  publish(target: Target, message: Message, options?: TransportPublishOptions): Promise<Routed> {
    return this.publisher.publish(target, message, options);
  }

  async close(): Promise<void> {
    this.onClosed();
    this.end.abort(new BusClosedError('wait for replies'));
    await this.publisher.close(0);
  }
}

async function consumeReplies(channel: ConfirmChannel, onReply: (message: Message) => void): Promise<void> {
  const onMessage = (message: ConsumeMessage | null): void => {
    if (message) onReply(toMessage(message));
  };
  // requests must be published on the channel that consumes their replies
  await rpc(channel.consume(DIRECT_REPLY_TO, onMessage, { noAck: true }), 'consume replies');
}
