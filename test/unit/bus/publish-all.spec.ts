import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { publishAll } from '../../../lib/bus/publish-all.js';
import { type Deferred, deferred, settled } from '../support/deferred.js';

/** A broker whose confirmations the test gives; keeps how many were in flight at most. */
class Confirms {
  readonly begun: number[] = [];
  most = 0;
  private readonly open = new Map<number, Deferred>();

  readonly publish = (event: number): Promise<void> => {
    const confirm = deferred();
    this.begun.push(event);
    this.open.set(event, confirm);
    this.most = Math.max(this.most, this.open.size);
    return confirm.promise;
  };

  get inFlight(): readonly number[] {
    return [...this.open.keys()];
  }

  async end(event: number, error?: Error): Promise<void> {
    const confirm = this.open.get(event);
    this.open.delete(event);
    if (error) confirm?.reject(error);
    else confirm?.resolve();
    await settled();
  }
}

const range = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

async function* slowly(events: readonly number[]): AsyncGenerator<number> {
  for (const event of events) {
    await Promise.resolve();
    yield event;
  }
}

describe('publishAll', () => {
  it.each([
    ['an array', (all: number[]) => all],
    ['an async sequence', (all: number[]) => slowly(all)],
  ])('of %s: everything once, in order, never more than the window', async (_, sequence) => {
    await fc.assert(
      fc.asyncProperty(
        fc.nat(20),
        fc.integer({ min: 1, max: 6 }),
        fc.array(fc.record({ pick: fc.nat(), fails: fc.boolean() }), { minLength: 20, maxLength: 20 }),
        async (count, window, ends) => {
          const confirms = new Confirms();
          const all = publishAll(sequence(range(count)), window, confirms.publish);
          const failing: number[] = [];
          await settled();
          for (const { pick, fails } of ends) {
            const { inFlight } = confirms;
            const event = inFlight[pick % Math.max(1, inFlight.length)];
            if (event === undefined) break;
            if (fails) failing.push(event);
            await confirms.end(event, fails ? new Error(`no ${event}`) : undefined);
          }
          const { confirmed, failed } = await all;
          expect(confirms.begun).toEqual(range(count));
          expect(confirms.most).toBe(Math.min(count, window));
          expect(confirmed).toBe(count - failing.length);
          expect(failed).toEqual(
            failing.toSorted((a, b) => a - b).map((index) => ({ index, error: new Error(`no ${index}`) })),
          );
        },
      ),
      { numRuns: 30 },
    );
  });

  it('refills a full window when a quarter of it is free', async () => {
    const confirms = new Confirms();
    const all = publishAll(range(20), 8, confirms.publish);
    await settled();
    expect(confirms.begun).toHaveLength(8);
    await confirms.end(0);
    expect(confirms.begun).toHaveLength(8);
    await confirms.end(1);
    expect(confirms.begun).toHaveLength(10);
    while (confirms.inFlight[0] !== undefined) await confirms.end(confirms.inFlight[0]);
    expect(await all).toEqual({ confirmed: 20, failed: [] });
  });

  it('resolves when the last one has settled, not before', async () => {
    const confirms = new Confirms();
    let isDone = false;
    const all = publishAll([0, 1], 10, confirms.publish).then(() => {
      isDone = true;
    });
    await confirms.end(1);
    expect(isDone).toBe(false);
    await confirms.end(0);
    await all;
  });

  it.each([
    [
      'a sequence',
      function* () {
        yield 0;
        throw new RangeError('source');
      },
    ],
    [
      'an async sequence',
      async function* () {
        yield 0;
        throw new RangeError('source');
      },
    ],
  ])('rejects with the error of %s, but after what was begun has settled', async (_, sequence) => {
    const confirms = new Confirms();
    let outcome: unknown = 'pending';
    publishAll(sequence(), 10, confirms.publish).catch((error: unknown) => {
      outcome = error;
    });
    await settled();
    expect(outcome).toBe('pending');
    await confirms.end(0);
    expect(outcome).toEqual(new RangeError('source'));
  });
});
