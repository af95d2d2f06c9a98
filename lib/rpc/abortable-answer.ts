import type { AwaitedAnswer } from './awaited-answer.js';
import type { Request, RequestEvents } from './request.js';
import type { Requester } from './requester.js';
import type { Reply } from './rpc.wire.js';
import type { SharedSignals } from './shared-signals.js';

/** Of the caller, and of the handler that asks: when nobody waits for that one, nobody waits for this one either. */
export type Signals = readonly AbortSignal[];

export interface Abortable {
  readonly signals: Signals;
  /** Of this request alone: what is not handed over when it aborts need not be. */
  readonly abort: AbortController | undefined;
}

/** An answer that is waited for until a signal aborts. */
export class AbortableAnswer implements RequestEvents {
  private id: string | undefined;

  constructor(
    private readonly answer: AwaitedAnswer,
    private readonly by: Abortable,
    private readonly shared: SharedSignals,
    private readonly requester: Requester,
  ) {}

  begin(request: Request): void {
    for (const signal of this.by.signals) this.shared.add(signal, this.onAbort);
    this.id = this.requester.open(request, this); // may tell of an error before it returns
  }

  onReply(reply: Reply): void {
    this.unlisten();
    this.answer.onReply(reply);
  }

  onError(error: unknown): void {
    this.unlisten();
    this.answer.onError(error);
  }

  private readonly onAbort = (): void => {
    const { signals, abort } = this.by;
    this.unlisten();
    if (this.id !== undefined) this.requester.abandon(this.id);
    const reason: unknown = signals.find(({ aborted }) => aborted)?.reason;
    abort?.abort(reason);
    this.answer.reject(reason);
  };

  private unlisten(): void {
    for (const signal of this.by.signals) this.shared.remove(signal, this.onAbort);
  }
}
