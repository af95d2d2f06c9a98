import type { Observable } from 'rxjs';
import type { Reply } from '../rpc/rpc.wire.js';

/** Sends an answer. Must not reject. @returns whether another one may follow it */
export type SendReply = (reply: Reply) => Promise<boolean>;

/**
 * Answers with all values of a handler's Observable, in order, one after the other; `undefined` is no value. The Observable is
 * stopped when an answer could not be sent.
 *
 * @throws the reason of `signal` when it aborts before the end; then the Observable is stopped
 */
export function replyWithAll(values: Observable<unknown>, send: SendReply, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const queue: Reply[] = [];
    let isSending = false;
    let isOver = false;
    const stop = (): void => {
      isOver = true;
      queue.length = 0;
      subscription.unsubscribe();
      signal.removeEventListener('abort', onAbort);
    };
    const onAbort = (): void => {
      stop();
      reject(signal.reason instanceof Error ? signal.reason : new Error('aborted'));
    };
    const pump = async (): Promise<void> => {
      isSending = true;
      await Promise.resolve(); // a value and the end that come together are one answer
      for (let reply = queue.shift(); reply && !isOver; reply = queue.shift()) {
        const goesOn = await send(reply);
        if (isOver || (goesOn && reply.kind === 'part')) continue;
        stop();
        resolve();
      }
      isSending = false;
    };
    const add = (reply: Reply): void => {
      if (isOver) return;
      queue.push(reply);
      if (!isSending) void pump(); // never rejects: `send` does not
    };
    const end = (): void => {
      const last = queue.pop();
      if (last) queue.push({ kind: 'value', value: last.value });
      else add({ kind: 'end' });
    };
    signal.addEventListener('abort', onAbort, { once: true });
    const subscription = values.subscribe({
      next: (value) => {
        if (value !== undefined) add({ kind: 'part', value });
      },
      error: (error: unknown) => add({ kind: 'error', value: error }),
      complete: end,
    });
    if (signal.aborted) onAbort();
    if (isOver) subscription.unsubscribe();
  });
}
