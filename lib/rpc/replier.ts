import type { MessageEncoder } from '../bus/message-encoder.js';
import { describeError } from '../core/failure.js';
import type { BusLogger } from '../core/logger.js';
import type { Message } from '../core/message.js';
import type { Transport } from '../core/transport.js';
import { REPLY, type Reply } from './rpc.wire.js';

/** What is said of a value that cannot be sent. */
const UNSENDABLE = Object.freeze({ status: 'error', message: 'The answer could not be sent.' });
/** An answer of which nobody knows any more whether it is waited for. */
const LEAST_MS = 50;

export interface ReplierOptions {
  readonly transport: Transport;
  readonly encoder: MessageEncoder;
  /** Bound for one answer. */
  readonly timeoutMs: number;
  readonly logger: BusLogger;
}

/** Answers requests. */
export class Replier {
  constructor(private readonly options: ReplierOptions) {}

  /**
   * Never rejects: an answer that does not arrive is a timeout for whoever waits for it. Nobody learns whether it arrived:
   * RabbitMQ calls what goes to a requester not routed.
   */
  async reply(request: Message, reply: Reply): Promise<void> {
    const { replyTo } = request;
    if (replyTo === undefined) return;
    let message: Message;
    try {
      message = this.encode(request, replyTo, reply);
    } catch (error) {
      this.options.logger.error(`The answer to "${request.topic}" (${request.id}): ${describeError(error)}`);
      if (reply.value !== UNSENDABLE) await this.reply(request, { kind: 'error', value: UNSENDABLE });
      return;
    }
    const { transport, timeoutMs } = this.options;
    const left = request.expiresAt === undefined ? timeoutMs : request.expiresAt - Date.now();
    try {
      const bound = { timeoutMs: Math.max(LEAST_MS, Math.min(timeoutMs, left)) };
      await transport.publish({ kind: 'reply', address: replyTo }, message, bound);
    } catch (error) {
      this.options.logger.warn(`"${request.topic}" (${request.id}) could not be answered: ${describeError(error)}`);
    }
  }

  private encode(request: Message, address: string, { kind, value }: Reply): Message {
    const { id, correlationId = id } = request;
    const options = { type: REPLY[kind], correlationId, causationId: id };
    // the topic under which it arrives
    return this.options.encoder.encode(address, value, options);
  }
}
