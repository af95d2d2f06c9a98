import assert from 'node:assert/strict';
import { Injectable, type Type } from '@nestjs/common';
import type { EventContext } from '../../bus/event-context.js';
import { DeadLetterError, RetryLaterError } from '../../core/errors.js';
import { exponential, fixed } from '../../core/retry-policy.js';
import { OnEvent, type OnEventOptions } from '../../decorators/on-event.decorator.js';
import type { ContractCase } from './contract.js';
import { busCase } from './contract-case.js';
import { Log } from './log.js';
import { until } from './until.js';

/** The dispatcher counts as due what is due so soon; timers and clocks of two machines may differ a little more. */
const TOLERANCE_MS = 25;

interface Attempt {
  readonly attempt: number;
  readonly at: number;
}

/** A provider whose one handler of `order` does `work` and writes down each attempt. */
function orderListener(
  attempts: Log<Attempt>,
  work: (context: EventContext, payload: unknown) => unknown,
  options?: OnEventOptions,
): Type {
  @Injectable()
  class OrderListener {
    @OnEvent('order', options)
    on(payload: unknown, context: EventContext): unknown {
      attempts.add({ attempt: context.attempt, at: Date.now() });
      return work(context, payload);
    }
  }
  return OrderListener;
}

const numbers = (attempts: Log<Attempt>): readonly number[] => attempts.items.map(({ attempt }) => attempt);

/** What happens when a handler fails, and what it can ask for. */
export const FAILURE_CASES: readonly ContractCase[] = [
  busCase('C4 a throw and a rejection are both retried, then dead-lettered with their error', async (bench) => {
    for (const kind of ['throw', 'reject'] as const) {
      const attempts = new Log<Attempt>('attempts');
      const error = new RangeError(`it broke ${'x'.repeat(5_000)}`);
      const OrderListener = orderListener(attempts, () => {
        if (kind === 'throw') throw error;
        return Promise.reject(error);
      });
      const service = `${bench.name}.${kind}`;
      const before = Date.now();
      const app = await bench.start({ providers: [OrderListener], options: { service } });
      const { id } = await app.bus.publish('order', { id: '42' }, { headers: { tenant: 'acme' } });
      const group = app.groupOf(OrderListener, 'on');
      const [letter] = await app.buried(group);
      assert.ok(letter);
      assert.deepEqual(numbers(attempts), [1, 2, 3], 'C5 attempts are 1, 2, 3');
      const { topic, payload, reason } = letter;
      const expected = { id, topic: 'order', payload: { id: '42' }, group, reason: 'attempts-exhausted', attempts: 3 };
      assert.deepEqual(
        { id: letter.id, topic, payload, group: letter.group, reason, attempts: letter.attempts },
        expected,
      );
      assert.deepEqual({ ...letter.headers }, { tenant: 'acme' });
      assert.equal(letter.error?.name, 'RangeError');
      assert.match(letter.error.message, /^it broke x+…$/);
      assert.ok(Buffer.byteLength(letter.error.message) <= 1_024, 'the text is bounded');
      const { firstFailedAt = 0, lastFailedAt = 0 } = letter;
      assert.ok(firstFailedAt >= before - 1_000 && lastFailedAt >= firstFailedAt);
      const { retried, deadLettered, handled } = app.statsOf(group);
      assert.deepEqual({ retried, deadLettered, handled }, { retried: 2, deadLettered: 1, handled: 0 });
      await app.app.close();
    }
  }),

  busCase('what is thrown and is no Error fails like one', async (bench) => {
    const attempts = new Log<Attempt>('attempts');
    const OrderListener = orderListener(attempts, () => {
      throw 'only text';
    });
    const { bus, buried, groupOf } = await bench.start({ providers: [OrderListener] });
    await bus.publish('order', 1);
    const [letter] = await buried(groupOf(OrderListener, 'on'));
    assert.deepEqual(numbers(attempts), [1, 2, 3]);
    assert.equal(letter?.error?.name, 'NonError');
    assert.doesNotMatch(letter.error.message, /only text/, 'nobody knows what it holds');
  }),

  busCase('a handler that fails twice and then succeeds leaves nothing behind', async (bench) => {
    const attempts = new Log<Attempt>('attempts');
    const OrderListener = orderListener(attempts, ({ attempt, redelivered }) => {
      assert.equal(redelivered, attempt > 1);
      if (attempt < 3) throw new Error('not yet');
    });
    const { bus, deadLetters, statsOf, groupOf } = await bench.start({ providers: [OrderListener] });
    await bus.publish('order', 1);
    await attempts.settle(3);
    const group = groupOf(OrderListener, 'on');
    const { retried, handled, deadLettered } = statsOf(group);
    assert.deepEqual({ retried, handled, deadLettered }, { retried: 2, handled: 1, deadLettered: 0 });
    assert.equal(await deadLetters.count(group), 0);
  }),

  busCase('retry: false is one attempt', async (bench) => {
    const attempts = new Log<Attempt>('attempts');
    const fail = (): never => {
      throw new Error('no');
    };
    const OrderListener = orderListener(attempts, fail, { retry: false });
    const { bus, buried, groupOf } = await bench.start({ providers: [OrderListener] });
    await bus.publish('order', 1);
    const [letter] = await buried(groupOf(OrderListener, 'on'));
    assert.deepEqual([letter?.reason, letter?.attempts, attempts.length], ['attempts-exhausted', 1, 1]);
  }),

  busCase("a handler's own policy decides how often, how late and whether at all", async (bench) => {
    const attempts = new Log<Attempt>('attempts');
    const policy = exponential({ attempts: 4, initialMs: 20 });
    const retryable = (error: unknown): boolean => !(error instanceof TypeError);
    const fail = (_context: EventContext, payload: unknown): never => {
      throw payload === 'type' ? new TypeError('never') : new Error('again');
    };
    const OrderListener = orderListener(attempts, fail, { retry: { ...policy, retryable } });
    const { bus, deadLetters, buried, groupOf } = await bench.start({ providers: [OrderListener] });
    const group = groupOf(OrderListener, 'on');
    await bus.publish('order', 'type');
    const [never] = await buried(group);
    assert.deepEqual([never?.reason, never?.attempts, attempts.length], ['not-retryable', 1, 1]);
    await deadLetters.purge(group);
    await bus.publish('order', 'error');
    const [again] = await buried(group);
    assert.deepEqual([again?.reason, again?.attempts, attempts.length], ['attempts-exhausted', 4, 5]);
    const times = attempts.items.slice(1).map(({ at }) => at);
    for (const [index, delay] of policy.delaysMs.entries()) {
      const waited = (times[index + 1] ?? 0) - (times[index] ?? 0);
      assert.ok(waited >= delay - TOLERANCE_MS, `attempt ${index + 2} came after ${waited} ms`);
    }
  }),

  busCase('DeadLetterError ends it at the first attempt', async (bench) => {
    const attempts = new Log<Attempt>('attempts');
    const OrderListener = orderListener(attempts, () => {
      throw new DeadLetterError('unknown currency');
    });
    const { bus, buried, groupOf } = await bench.start({ providers: [OrderListener] });
    await bus.publish('order', 1);
    const [letter] = await buried(groupOf(OrderListener, 'on'));
    assert.deepEqual(
      [letter?.reason, letter?.attempts, letter?.error?.message],
      ['not-retryable', 1, 'unknown currency'],
    );
    assert.equal(attempts.length, 1);
  }),

  busCase('RetryLaterError: again after that time, no attempt counted, whatever the policy', async (bench) => {
    const attempts = new Log<Attempt>('attempts');
    const later = (): void => {
      if (attempts.length < 3) throw new RetryLaterError(60);
    };
    const OrderListener = orderListener(attempts, later, { retry: false });
    const { bus, deadLetters, statsOf, groupOf } = await bench.start({ providers: [OrderListener] });
    await bus.publish('order', 1);
    await attempts.settle(3);
    assert.deepEqual(numbers(attempts), [1, 1, 1]);
    const [first, second, third] = attempts.items.map(({ at }) => at);
    assert.ok((second ?? 0) - (first ?? 0) >= 60 - TOLERANCE_MS);
    assert.ok((third ?? 0) - (second ?? 0) >= 60 - TOLERANCE_MS);
    const group = groupOf(OrderListener, 'on');
    assert.ok(statsOf(group).deferred >= 2);
    assert.equal(await deadLetters.count(group), 0);
  }),

  busCase('RetryLaterError between failures: the attempts go on where they were', async (bench) => {
    const attempts = new Log<Attempt>('attempts');
    const OrderListener = orderListener(attempts, () => {
      if (attempts.length === 2) throw new RetryLaterError(20);
      throw new Error('no');
    });
    const { bus, buried, groupOf } = await bench.start({ providers: [OrderListener] });
    await bus.publish('order', 1);
    const [letter] = await buried(groupOf(OrderListener, 'on'));
    assert.deepEqual(numbers(attempts), [1, 2, 2, 3]);
    assert.equal(letter?.attempts, 3);
  }),

  busCase('W21 what a handler emits goes out after its success only, with correlation and cause', async (bench) => {
    const seen = new Log<readonly unknown[]>('events');
    @Injectable()
    class EmittingListener {
      @OnEvent('order')
      on(_payload: unknown, context: EventContext): void {
        context.emit('mail', context.attempt);
        if (context.attempt < 3) throw new Error('after emit');
      }
      @OnEvent('mail')
      mail(payload: unknown, { message: { correlationId, causationId } }: EventContext): void {
        seen.add([payload, correlationId, causationId]);
      }
    }
    const { bus } = await bench.start({ providers: [EmittingListener] });
    const { id } = await bus.publish('order', 1, { correlationId: 'corr' });
    assert.deepEqual(await seen.settle(1), [[3, 'corr', id]]);
  }),

  busCase('W22 an emit that cannot be published fails the attempt', async (bench) => {
    const attempts = new Log<Attempt>('attempts');
    const seen = new Log<unknown>('events');
    const OrderListener = orderListener(attempts, (context) => {
      const signal = context.attempt === 1 ? AbortSignal.abort(new Error('not published')) : undefined;
      context.emit('mail', context.attempt, signal && { signal });
    });
    const { bus, statsOf, groupOf } = await bench.start({ providers: [OrderListener] });
    await bus.subscribe('mail', seen.add);
    await bus.publish('order', 1);
    assert.deepEqual(await seen.settle(1), [2]);
    assert.deepEqual(numbers(attempts), [1, 2]);
    assert.equal(statsOf(groupOf(OrderListener, 'on')).retried, 1);
  }),

  busCase(
    'C12 an event that expires while it waits to be tried again, or is put off, is not handled',
    async (bench) => {
      const [expiresInMs, waitMs] = [1_000, 1_500];
      const seen = new Log<string>('events');
      @Injectable()
      class WaitingListener {
        @OnEvent('order', { group: `${bench.name}.waiting`, retry: fixed({ attempts: 3, delayMs: waitMs }) })
        on(payload: 'fails' | 'waits' | 'delayed'): void {
          seen.add(payload);
          if (payload === 'waits') throw new RetryLaterError(waitMs);
          if (payload === 'fails') throw new Error('as asked');
        }
      }
      const { bus, deadLetters, statsOf } = await bench.start({ providers: [WaitingListener] });
      await bus.publish('order', 'fails', { expiresInMs });
      await bus.publish('order', 'waits', { expiresInMs });
      await bus.publish('order', 'delayed', { expiresInMs, delayMs: waitMs });
      const group = `${bench.name}.waiting`;
      await until('all have expired', () => statsOf(group).expired === 3);
      assert.deepEqual(seen.items.toSorted(), ['fails', 'waits']);
      const { retried, deadLettered, handled } = statsOf(group);
      assert.deepEqual({ retried, deadLettered, handled }, { retried: 1, deadLettered: 0, handled: 0 });
      assert.equal(await deadLetters.count(group), 0);
    },
  ),

  busCase(
    'dead letters are listed, replayed by id and purged, and replay reaches the failing group only',
    async (bench) => {
      let isBroken = true;
      const [mended, other] = [new Log<unknown>('events'), new Log<unknown>('events')];
      @Injectable()
      class OrderListener {
        @OnEvent('order', { retry: false })
        failing(payload: unknown): void {
          if (isBroken) throw new Error('bug');
          mended.add(payload);
        }
        @OnEvent('order')
        healthy(payload: unknown): void {
          other.add(payload);
        }
      }
      const { bus, deadLetters, buried, groupOf } = await bench.start({ providers: [OrderListener] });
      const group = groupOf(OrderListener, 'failing');
      const ids: string[] = [];
      for (const n of [1, 2, 3]) ids.push((await bus.publish('order', n)).id);
      const letters = await buried(group, 3);
      assert.deepEqual(letters.map(({ id }) => id).toSorted(), ids.toSorted());
      assert.equal((await deadLetters.list(group, { limit: 1 })).length, 1);
      isBroken = false;
      assert.equal(await deadLetters.replay(group, { ids: ids.slice(1, 2) }), 1);
      assert.deepEqual(await mended.settle(1), [2]);
      assert.equal(await deadLetters.replay(group, { limit: 1 }), 1);
      await mended.settle(2);
      assert.equal(await deadLetters.purge(group), 1);
      assert.equal(await deadLetters.count(group), 0);
      assert.equal(other.length, 3);
    },
  ),
];
