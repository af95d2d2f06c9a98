import { toRemoteError } from './remote-failure.js';
import type { Request, RequestEvents } from './request.js';
import type { Requester } from './requester.js';
import type { Reply } from './rpc.wire.js';
import type { SharedSignals } from './shared-signals.js';

/** Of the caller, and of the handler that asks: when nobody waits for that one, nobody waits for this one either. */
export type Signals = readonly AbortSignal[];

/** Settles a promise with the one answer to a request, unless one of its signals aborts first. */
export class AwaitedAnswer implements RequestEvents {
  private id: string | undefined;
  private onAbort: (() => void) | undefined;

  /** @param abort of this request alone: what was not handed over when it aborts need not be */
  constructor(
    private readonly requester: Requester,
    private readonly request: Request,
    private readonly signals: Signals,
    private readonly shared: SharedSignals,
    private readonly abort: AbortController | undefined,
    private readonly resolve: (value: unknown) => void,
    private readonly reject: (reason: unknown) => void,
  ) {}

  begin(): void {
    if (this.signals.length > 0) this.listen();
    this.id = this.requester.open(this.request, this); // may tell of an error before it returns
  }

  onReply({ kind, value }: Reply): void {
    this.unlisten();
    if (kind === 'error') this.reject(toRemoteError(this.request.topic, value));
    else this.resolve(value);
  }

  onError(error: unknown): void {
    this.unlisten();
    this.reject(error instanceof Error ? error : new Error(String(error)));
  }

  private listen(): void {
    const onAbort = (): void => this.stop();
    this.onAbort = onAbort;
    for (const signal of this.signals) this.shared.add(signal, onAbort);
  }

  private unlisten(): void {
    const { onAbort } = this;
    if (!onAbort) return;
    for (const signal of this.signals) this.shared.remove(signal, onAbort);
  }

  private stop(): void {
    this.unlisten();
    if (this.id !== undefined) this.requester.abandon(this.id);
    const reason: unknown = this.signals.find(({ aborted }) => aborted)?.reason;
    this.abort?.abort(reason);
    this.reject(reason);
  }
}
