import type { MessageEncoder } from '../bus/message-encoder.js';
import { EventBusError } from '../core/errors.js';
import { describeError } from '../core/failure.js';
import type { BusLogger } from '../core/logger.js';
import type { Message } from '../core/message.js';
import { onOneLine } from '../core/text.js';
import type { Transport } from '../core/transport.js';
import { REPLY, type Reply } from './rpc.wire.js';

/** What is said of a value that cannot be sent. */
const UNSENDABLE = Object.freeze({ status: 'error', message: 'The answer could not be sent.' });
/** What follows a value of which nobody knows whether it arrived: else its absence would not be noticed. */
const BROKEN = Object.freeze({ status: 'error', message: 'The answer is incomplete: a part of it may be lost.' });
/** An answer of which nobody knows any more whether it is waited for. */
const LEAST_MS = 50;

export interface AnswerOptions {
  readonly transport: Transport;
  readonly encoder: MessageEncoder;
  /** Bound for one answer. */
  readonly timeoutMs: number;
  readonly logger: BusLogger;
}

/** The answers to one request, one after the other. Nothing follows the last one, nor one that was not handed over. */
export class Answers {
  private sent = 0;
  private isOver = false;

  constructor(
    private readonly options: AnswerOptions,
    private readonly request: Message,
  ) {}

  get hasBegun(): boolean {
    return this.sent > 0 || this.isOver;
  }

  /**
   * Never rejects. Nobody learns whether it arrived: RabbitMQ calls what goes to a requester not routed.
   *
   * @returns whether the broker has taken it; if not, the requester has been told of an error where that was possible
   */
  async send(reply: Reply): Promise<boolean> {
    const { replyTo } = this.request;
    if (this.isOver || replyTo === undefined) return false;
    this.isOver = reply.kind !== 'part';
    let message: Message;
    try {
      message = this.encode(replyTo, reply);
    } catch (error) {
      const { topic, id } = this.request;
      this.options.logger.error(onOneLine(`The answer to "${topic}" (${id}): ${describeError(error)}`));
      await this.end(replyTo, UNSENDABLE);
      return false;
    }
    const failure = await this.publish(replyTo, message);
    if (failure === undefined) {
      this.sent++;
      return true;
    }
    this.warn(`could not be answered (${failure})`);
    if (reply.kind === 'part') await this.end(replyTo, BROKEN);
    return false;
  }

  /** @param text goes on after the name of the request */
  warn(text: string): void {
    const { topic, id } = this.request;
    this.options.logger.warn(onOneLine(`"${topic}" (${id}) ${text}`));
  }

  private async end(address: string, value: unknown): Promise<void> {
    this.isOver = true;
    // without it the requester waits until its time is up, which is an error too
    await this.publish(address, this.encode(address, { kind: 'error', value }));
  }

  /** @returns why it was not taken: its text would name the address, and say what publishers should do */
  private async publish(address: string, message: Message): Promise<string | undefined> {
    try {
      await this.options.transport.publish({ kind: 'reply', address }, message, { timeoutMs: this.leftMs });
      return undefined;
    } catch (error) {
      return error instanceof EventBusError ? error.code : 'error';
    }
  }

  /** The first answer is waited for until the request expires; each one after it for some time of its own. */
  private get leftMs(): number {
    const { timeoutMs } = this.options;
    const { expiresAt } = this.request;
    if (this.sent > 0 || expiresAt === undefined) return timeoutMs;
    return Math.max(LEAST_MS, Math.min(timeoutMs, expiresAt - Date.now()));
  }

  private encode(address: string, { kind, value }: Reply): Message {
    const { id, correlationId = id } = this.request;
    // the topic under which it arrives
    return this.options.encoder.encode(address, value, { type: REPLY[kind], correlationId, causationId: id });
  }
}
