import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { of, throwError } from 'rxjs';
import { Batch } from '../../../lib/bus/batch.js';
import type { EventContext } from '../../../lib/bus/event-context.js';
import { HandlerScope } from '../../../lib/bus/handler-scope.js';
import { BatchError, DeadLetterError } from '../../../lib/core/errors.js';
import { settled } from '../support/deferred.js';

type Invoke = (payloads: readonly unknown[], contexts: readonly EventContext[]) => unknown;

/** What came of each item: nothing yet, that it is well, or its error. */
function setUp(size: number, invoke: Invoke = () => undefined, scope = new HandlerScope()) {
  const calls: (readonly [payloads: readonly unknown[], contexts: readonly unknown[]])[] = [];
  const handler = {
    place: 'Mail.onOrders',
    invoke: (payloads: unknown, contexts: unknown) => {
      calls.push([payloads as unknown[], contexts as unknown[]]);
      return invoke(payloads as unknown[], contexts as EventContext[]);
    },
  };
  const batch = new Batch(size, handler, scope);
  const outcomes: unknown[] = Array.from({ length: size }, () => 'waits');
  const join = (index: number): void => {
    const context = `context ${index}` as unknown as EventContext;
    batch.join(index, `payload ${index}`, context).then(
      () => {
        outcomes[index] = 'well';
      },
      (error: unknown) => {
        outcomes[index] = error;
      },
    );
  };
  return { batch, calls, outcomes, join };
}

const fails = (error: unknown): Invoke => {
  return () => {
    throw error;
  };
};

describe('Batch', () => {
  it('calls its handler once, when it is known of all whether they take part, in the order of arrival', async () => {
    const { batch, calls, outcomes, join } = setUp(4);
    for (const index of [3, 0]) join(index);
    batch.leave(1);
    await settled();
    expect([calls, outcomes]).toEqual([[], ['waits', 'waits', 'waits', 'waits']]);
    join(2);
    batch.leave(0); // has joined, and comes to its end
    await settled();
    expect(calls).toEqual([
      [
        ['payload 0', 'payload 2', 'payload 3'],
        ['context 0', 'context 2', 'context 3'],
      ],
    ]);
    expect(outcomes).toEqual(['well', 'waits', 'well', 'well']);
  });

  it('calls nobody when nobody takes part', async () => {
    const { batch, calls } = setUp(2);
    batch.leave(0);
    batch.leave(1);
    await settled();
    expect(calls).toEqual([]);
  });

  it('calls nobody for those who have left before the last one: each counts once', async () => {
    const { batch, calls, join } = setUp(3);
    batch.leave(0);
    batch.leave(0);
    batch.leave(0);
    join(1);
    await settled();
    expect(calls).toEqual([]);
    join(2);
    await settled();
    expect(calls).toHaveLength(1);
  });

  it.each<[string, Invoke]>([
    ['a promise', async () => undefined],
    ['an Observable', () => of(1)],
    ['an Observable without a value', () => of()],
    ['a BatchError without failures', fails(new BatchError([]))],
  ])('all are well after %s', async (_, invoke) => {
    const { join, outcomes } = setUp(2, invoke);
    for (const index of [0, 1]) join(index);
    await settled();
    expect(outcomes).toEqual(['well', 'well']);
  });

  const error = new RangeError('no stock');
  it.each<[string, Invoke]>([
    ['throws', fails(error)],
    ['rejects', () => Promise.reject(error)],
    ['answers with an Observable that fails', () => throwError(() => error)],
  ])('all fail with the error of a handler that %s', async (_, invoke) => {
    const { join, outcomes } = setUp(2, invoke);
    for (const index of [0, 1]) join(index);
    await settled();
    expect(outcomes).toEqual([error, error]);
  });

  it.each<[string, (failures: readonly (readonly [number, unknown])[]) => BatchError]>([
    ['a list', (failures) => new BatchError(failures.map(([index, reason]) => ({ index, error: reason })))],
    ['a Map', (failures) => new BatchError(new Map(failures))],
  ])('each fails with its own error that a BatchError has in %s, the others are well', async (_, make) => {
    const dead = new DeadLetterError('unknown currency');
    const failing = make([
      [2, dead],
      [0, undefined],
    ]);
    const { join, batch, outcomes } = setUp(4, fails(failing));
    for (const index of [0, 2, 3]) join(index);
    batch.leave(1); // so that an index of the handler's array is not one of the batch
    await settled();
    expect(outcomes).toEqual([undefined, 'waits', 'well', dead]);
  });

  it.each<[string, readonly unknown[], string]>([
    ['that it does not have', [{ index: 2, error }], 'names item 2, and the batch had the items 0 to 1'],
    ['below 0', [{ index: -1, error }], 'names item -1, and the batch had the items 0 to 1'],
    ['that is no whole number', [{ index: 0.5, error }], 'names item 0.5, and'],
    ['that is not a number', [{ index: '0', error }], 'names an item by something else than its index'],
    ['that is missing', [{ error }], 'names an item by something else than its index'],
    [
      'twice',
      [
        { index: 1, error },
        { index: 1, error },
      ],
      'names item 1 twice',
    ],
  ])('all fail when a BatchError names an item %s', async (_, failures, text) => {
    const cause = new BatchError(failures as never);
    const { join, outcomes } = setUp(2, fails(cause));
    for (const index of [0, 1]) join(index);
    await settled();
    const expected = expect.objectContaining({
      code: 'BATCH_ERROR',
      message: expect.stringContaining(`Mail.onOrders: its BatchError ${text}`),
      cause,
    });
    expect(outcomes).toEqual([expected, expected]);
  });

  it('gives every item what its handler said of it, whoever takes part', async () => {
    const items = fc.array(fc.constantFrom('leaves', 'well', 'fails'), { minLength: 1, maxLength: 12 });
    await fc.assert(
      fc.asyncProperty(items, async (fates) => {
        const taking = fates.flatMap((fate, index) => (fate === 'leaves' ? [] : [index]));
        const failures = taking.flatMap((index, position) =>
          fates[index] === 'fails' ? [{ index: position, error: `error ${index}` }] : [],
        );
        const { batch, join, outcomes, calls } = setUp(fates.length, fails(new BatchError(failures)));
        for (const [index, fate] of fates.entries()) {
          if (fate === 'leaves') batch.leave(index);
          else join(index);
        }
        await settled();
        const expected = { leaves: () => 'waits', well: () => 'well', fails: (index: number) => `error ${index}` };
        expect(outcomes).toEqual(fates.map((fate, index) => expected[fate](index)));
        expect(calls.map(([payloads]) => payloads)).toEqual(
          taking.length === 0 ? [] : [taking.map((index) => `payload ${index}`)],
        );
      }),
    );
  });

  it('is not called any more when it was cancelled before', async () => {
    const { batch, calls, outcomes, join } = setUp(3);
    join(0);
    batch.cancel(error);
    batch.leave(1);
    join(2);
    await settled();
    expect(calls).toEqual([]);
    expect(outcomes).toEqual([error, 'waits', error]);
  });

  it('is not ended by being cancelled when its handler runs', async () => {
    let end: () => void = () => undefined;
    const { batch, outcomes, join } = setUp(1, () => new Promise<void>((resolve) => (end = resolve)));
    join(0);
    batch.cancel(error);
    await settled();
    expect(outcomes).toEqual(['waits']);
    end();
    await settled();
    expect(outcomes).toEqual(['well']);
  });

  it('takes nobody who comes after having left', async () => {
    const { batch, calls, outcomes, join } = setUp(2);
    batch.leave(0);
    join(0);
    join(1);
    await settled();
    join(1);
    await settled();
    expect(calls.map(([payloads]) => payloads)).toEqual([['payload 1']]);
    expect(outcomes).toEqual([
      expect.objectContaining({ code: 'BATCH_OVER' }),
      expect.objectContaining({ code: 'BATCH_OVER' }),
    ]);
  });
});
