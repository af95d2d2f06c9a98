import { EventBusError } from './errors.js';

/** Code around a step. It calls `next` once, or throws; without either, the step does not happen and counts as done. */
export type Middleware<C> = (context: C, next: () => Promise<void>) => Promise<void>;

/** One function that runs all middleware, the first one outermost, and then `last`. */
export function compose<C>(
  middleware: readonly Middleware<C>[],
): (context: C, last: () => Promise<void>) => Promise<void> {
  return (context, last) => {
    let reached = -1;
    const dispatch = async (index: number): Promise<void> => {
      if (index <= reached) throw new EventBusError('NEXT_CALLED_TWICE', 'A middleware called next() twice.');
      reached = index;
      const step = middleware[index];
      return step ? step(context, () => dispatch(index + 1)) : last();
    };
    return dispatch(0);
  };
}
