import type { MessageEncoder, MessageOptions } from '../bus/message-encoder.js';
import { EventBusError } from '../core/errors.js';
import { describeError } from '../core/failure.js';
import type { BusLogger } from '../core/logger.js';
import type { Message } from '../core/message.js';
import { onOneLine } from '../core/text.js';
import type { OnFailed, ReplyPath, Transport } from '../core/transport.js';
import type { ErrorEncoder } from './error.encoder.js';
import { partId, REPLY, type Reply, type ReplyKind, replyTopic, requestIdOf } from './rpc.wire.js';

/** What is said of a value that cannot be sent. */
const UNSENDABLE = Object.freeze({ status: 'error', message: 'The answer could not be sent.' });
/** What follows a value of which nobody knows whether it arrived: else its absence would not be noticed. */
const BROKEN = Object.freeze({
  status: 'error',
  name: 'StreamBrokenError',
  code: 'STREAM_BROKEN',
  message: 'The answer is incomplete: a part of it may be lost.',
  retryable: true,
});
const NO_BODY = new Uint8Array(0);
const NO_OPTIONS: MessageOptions = Object.freeze({});
/** An answer of which nobody knows any more whether it is waited for. */
const LEAST_MS = 50;

export interface AnswerOptions {
  readonly transport: Transport;
  readonly encoder: MessageEncoder;
  /** Writes that there is no value, where the bus's serializer has nothing for it (text and Protocol Buffers have no null). */
  readonly empty: MessageEncoder;
  /** Writes what is told of errors. */
  readonly errors: ErrorEncoder;
  /** Bound for one answer. */
  readonly timeoutMs: number;
  readonly logger: BusLogger;
  /** Told of an answer that was handed over and, for all that is known, not taken. */
  readonly onFailed: OnFailed;
}

/** The answers to one request, one after the other. Nothing follows the last one, nor one that was not handed over. */
export class Answers {
  private sent = 0;
  private parts = 0;
  private path: ReplyPath | undefined;
  private isOver = false;

  constructor(
    private readonly options: AnswerOptions,
    private readonly request: Message,
  ) {}

  get hasBegun(): boolean {
    return this.sent > 0 || this.parts > 0 || this.isOver;
  }

  /**
   * What follows goes this way, numbered, and each says that the requester can talk back there. Then parts need not wait for each
   * other.
   */
  goBy(path: ReplyPath): void {
    this.path = path;
  }

  /** Nothing is sent any more. */
  drop(): void {
    this.isOver = true;
  }

  /**
   * Never rejects. Nobody learns whether it arrived: RabbitMQ calls what goes to a requester not routed.
   *
   * @returns whether it has been handed over, which is known at once where nothing had to wait; if not, the requester has been told
   *   of an error where that was possible
   */
  send(reply: Reply): boolean | Promise<boolean> {
    const { replyTo } = this.request;
    if (this.isOver || replyTo === undefined) return false;
    this.isOver = reply.kind !== 'part';
    let message: Message;
    try {
      message = this.encode(reply);
    } catch (error) {
      return this.sendUnsendable(replyTo, error);
    }
    if (!this.trySend(replyTo, message)) return this.sendLater(replyTo, reply.kind, message);
    this.sent++;
    return true;
  }

  /** The one answer, which needs no path: the others are told apart by being confirmed in their order. */
  private trySend(address: string, message: Message): boolean {
    if (!this.isOver || this.path) return false;
    const { transport, onFailed } = this.options;
    return transport.tryReply?.(address, message, this.leftMs, onFailed) ?? false;
  }

  private async sendUnsendable(address: string, error: unknown): Promise<boolean> {
    const { topic, id } = this.request;
    this.options.logger.error(onOneLine(`The answer to "${topic}" (${id}): ${describeError(error)}`));
    await this.end(address, UNSENDABLE);
    return false;
  }

  private async sendLater(address: string, kind: ReplyKind, message: Message): Promise<boolean> {
    const failure = await (this.isOver ? this.publishLast(address, message) : this.publish(address, message));
    if (failure === undefined) {
      this.sent++;
      return true;
    }
    const wasOver = this.isOver && kind === 'part'; // another part has said so
    if (!wasOver) this.warn(`could not be answered (${failure})`);
    if (!wasOver && kind === 'part') await this.end(address, BROKEN);
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
    await this.publishLast(address, this.encode({ kind: 'error', value }));
  }

  /** A channel that is lost takes its parts with it, but the last answer can go by another one: twice, it is one. */
  private async publishLast(address: string, message: Message): Promise<string | undefined> {
    const failure = await this.publish(address, message);
    if (failure === undefined || !this.path) return failure;
    this.path = undefined;
    return this.publish(address, message);
  }

  /** @returns why it was not taken */
  private async publish(address: string, message: Message): Promise<string | undefined> {
    try {
      const target = { kind: 'reply', address } as const;
      const { leftMs: timeoutMs } = this;
      if (this.path) await this.path.publish(target, message, { timeoutMs, onFull: 'wait' });
      else await this.options.transport.publish(target, message, { timeoutMs });
      return undefined;
    } catch (error) {
      return codeOf(error);
    }
  }

  /** The first answer is waited for until the request expires; each one after it for some time of its own. */
  private get leftMs(): number {
    const { timeoutMs } = this.options;
    const { expiresAt } = this.request;
    if (this.sent > 0 || this.parts > 1 || expiresAt === undefined) return timeoutMs;
    return Math.max(LEAST_MS, Math.min(timeoutMs, expiresAt - Date.now()));
  }

  private encode({ kind, value }: Reply): Message {
    const topic = replyTopic(this.request.topic);
    const { encoder, empty, errors } = this.options;
    const type = REPLY[kind];
    const correlationId = requestIdOf(this.request);
    // no more than that: without headers it costs the driver half
    const options: MessageOptions = { correlationId, ...this.numbering(kind) };
    if (kind === 'error') return errors.encode(topic, value, { ...options, type });
    try {
      // a serializer that has a schema for each event goes by the topic, as it does for what has no type
      return Object.freeze({ ...encoder.encode(topic, value, options), type });
    } catch (error) {
      if (kind === 'end') return empty.encode(topic, NO_BODY, { ...options, type });
      throw error;
    }
  }

  /** The last answer has the number that the next part would have, so that a missing one is noticed. */
  private numbering(kind: ReplyKind): MessageOptions {
    if (!this.path) return NO_OPTIONS;
    const id = partId(requestIdOf(this.request), this.parts);
    if (kind !== 'part') return { id };
    this.parts++;
    return { id, replyTo: this.path.address };
  }
}

/** Why an answer was not taken: the text of the error would name the address, and say what publishers should do. */
export function codeOf(error: unknown): string {
  return error instanceof EventBusError ? error.code : 'error';
}
