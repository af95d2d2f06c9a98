import type { BusClosedError } from '../core/errors.js';
import type { Message } from '../core/message.js';
import type { ReplyOptions, ReplyPath, Transport } from '../core/transport.js';

/** A way back for answers that is opened when it is needed first; after a failure, when it is needed next. */
export class LazyReplyPath {
  private readonly end = new AbortController();
  private opening: Promise<ReplyPath> | undefined;
  private opened: ReplyPath | undefined;

  constructor(
    private readonly transport: Pick<Transport, 'openReplies'>,
    private readonly onReply: (message: Message) => void,
    private readonly options: Omit<ReplyOptions, 'signal'>,
  ) {}

  /** At once when it is open: then nothing comes in between. @throws what opening it throws */
  get(): ReplyPath | Promise<ReplyPath> {
    if (this.opened) return this.opened;
    this.opening ??= this.open();
    return this.opening;
  }

  /** One that is not open yet is not waited for. @param reason for whoever waits for it to open */
  async close(reason: BusClosedError): Promise<void> {
    this.end.abort(reason);
    await this.opened?.close();
  }

  private async open(): Promise<ReplyPath> {
    const { signal } = this.end;
    try {
      const path = await this.transport.openReplies(this.onReply, { ...this.options, signal });
      if (signal.aborted) await path.close();
      else this.opened = path;
      return path;
    } catch (error) {
      this.opening = undefined;
      throw error;
    }
  }
}
