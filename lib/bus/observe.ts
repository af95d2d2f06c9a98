import { Observable } from 'rxjs';
import type { EventMessage, SubscribeHandler, SubscribeOptions } from './subscriber.js';
import type { Subscription } from './subscription.js';

export interface ObserveOptions extends Omit<SubscribeOptions, 'group'> {
  /** Called when the binding is in force: what is published from then on is seen. */
  readonly onReady?: () => void;
}

/**
 * A subscription as an Observable: begun by each subscriber, ended by unsubscribing or by the end of the bus.
 *
 * @param ended aborted when the bus has stopped consuming
 */
export function observe<T>(
  subscribe: (handler: SubscribeHandler<T>) => Promise<Subscription>,
  onReady: (() => void) | undefined,
  ended: AbortSignal,
): Observable<EventMessage<T>> {
  return new Observable<EventMessage<T>>((observer) => {
    const subscribed = subscribe((payload, { topic, headers, message }) =>
      observer.next({ payload, topic, headers, message }),
    );
    const onEnd = (): void => observer.complete();
    ended.addEventListener('abort', onEnd, { once: true });
    subscribed.then(
      () => onReady?.(),
      (error: unknown) => observer.error(error),
    );
    return () => {
      ended.removeEventListener('abort', onEnd);
      subscribed.then((subscription) => subscription.cancel()).catch(() => undefined); // the error went to the observer
    };
  });
}
