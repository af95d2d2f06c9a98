import { toRemoteError } from './remote-failure.js';
import type { RequestEvents } from './request.js';
import type { Reply } from './rpc.wire.js';

/** Settles a promise with the one answer to a request. There is one for each request that waits, so it holds no more than that. */
export class AwaitedAnswer implements RequestEvents {
  constructor(
    private readonly topic: string,
    private readonly resolve: (value: unknown) => void,
    readonly reject: (reason: unknown) => void,
  ) {}

  onReply({ kind, value }: Reply): void {
    if (kind === 'error') this.reject(toRemoteError(this.topic, value));
    else this.resolve(value);
  }

  onError(error: unknown): void {
    this.reject(error instanceof Error ? error : new Error(String(error)));
  }
}
