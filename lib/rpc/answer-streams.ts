import { BusClosedError } from '../core/errors.js';
import { DEFAULTS } from '../core/limits.js';
import type { Message } from '../core/message.js';
import type { Transport } from '../core/transport.js';
import { AnswerStream, type AnswerStreamParts } from './answer-stream.js';
import { LazyReplyPath } from './lazy-reply-path.js';
import { countOf, requestIdOf, signalKindOf } from './rpc.wire.js';

export interface AnswerStreamsOptions {
  readonly transport: Pick<Transport, 'openReplies'>;
  /** How often a requester is heard of. */
  readonly beatMs?: number;
}

/**
 * The answers that are being given in parts here, and the one way by which their requesters talk back: opened with the first of
 * them. A requester that is not heard of any more has died, and its stream ends.
 */
export class AnswerStreams {
  private readonly running = new Map<string, AnswerStream>();
  private readonly path: LazyReplyPath;
  private timer: NodeJS.Timeout | undefined;
  private isClosed = false;

  constructor(private readonly options: AnswerStreamsOptions) {
    this.path = new LazyReplyPath(options.transport, (message) => this.onSignal(message), {
      onLost: () => this.onLost(),
      isAwaited: () => this.running.size > 0,
    });
  }

  get size(): number {
    return this.running.size;
  }

  /** Whoever opens one runs and closes it. */
  open(parts: Omit<AnswerStreamParts, 'openPath' | 'onClosed'>): AnswerStream {
    const id = requestIdOf(parts.request);
    const stream = new AnswerStream({
      ...parts,
      openPath: async () => this.path.get(),
      onClosed: (closed) => {
        if (this.running.get(id) === closed) this.running.delete(id);
      },
    });
    this.running.set(id, stream);
    this.timer ??= this.startTimer();
    return stream;
  }

  async close(): Promise<void> {
    this.isClosed = true;
    clearTimeout(this.timer);
    await this.path.close(new BusClosedError('answer'));
  }

  private onLost(): void {
    for (const stream of [...this.running.values()]) stream.lose();
  }

  /** What anybody who knows the address may send: counts within bounds, of what runs. */
  private onSignal(message: Message): void {
    const stream = this.running.get(message.correlationId ?? '');
    const kind = signalKindOf(message);
    if (!stream || kind === undefined) return;
    if (kind === 'cancel') {
      stream.cancel();
      return;
    }
    const count = countOf(message);
    if (count !== undefined) stream.grant(count);
  }

  /** One timer for all, while there are any. */
  private readonly onBeat = (): void => {
    this.timer = undefined;
    for (const stream of [...this.running.values()]) if (stream.beat() > DEFAULTS.streamMissedBeats) stream.cancel();
    if (this.running.size > 0 && !this.isClosed) this.timer = this.startTimer();
  };

  private startTimer(): NodeJS.Timeout {
    return setTimeout(this.onBeat, this.options.beatMs ?? DEFAULTS.streamBeatMs).unref();
  }
}
