import assert from 'node:assert/strict';
import {
  type CallHandler,
  type ExecutionContext,
  Injectable,
  type NestInterceptor,
  type Type,
  UseInterceptors,
} from '@nestjs/common';
import { defer, EMPTY, map, type Observable, of, throwError, timer } from 'rxjs';
import type { EventContext } from '../../bus/event-context.js';
import { OnEvent, type OnEventOptions } from '../../decorators/on-event.decorator.js';
import type { ContractCase } from './contract.js';
import { outcomeCase } from './contract-case.js';
import { Log } from './log.js';
import { assertAcked, assertDead, EXHAUSTED } from './outcome.js';
import { quiet, until } from './until.js';

function listener(work: (payload: unknown, context: EventContext) => unknown, options?: OnEventOptions): Type {
  @Injectable()
  class OrderListener {
    @OnEvent('order', options)
    on(payload: unknown, context: EventContext): unknown {
      return work(payload, context);
    }
  }
  return OrderListener;
}

function interceptor(intercept: NestInterceptor['intercept']): Type<NestInterceptor> {
  @Injectable()
  class CaseInterceptor implements NestInterceptor {
    intercept(context: ExecutionContext, next: CallHandler): Observable<unknown> | Promise<Observable<unknown>> {
      return intercept(context, next);
    }
  }
  return CaseInterceptor;
}

function intercepted(type: Type<NestInterceptor>, work: () => unknown): Type {
  @Injectable()
  @UseInterceptors(type)
  class OrderListener {
    @OnEvent('order')
    on(): unknown {
      return work();
    }
  }
  return OrderListener;
}

/** Whatever a handler returns, the event is done; unless it failed or took too long. */
export const RESULT_CASES: readonly ContractCase[] = [
  outcomeCase('returned, whatever it is: acknowledged', async (bench) => {
    let calls = 0;
    const values = [undefined, null, false, 0, Promise.resolve('x'), new Error('returned, not thrown')];
    const OrderListener = listener(() => values[calls++]);
    const { bus, statsOf, groupOf } = await assertAcked(bench, OrderListener);
    for (let i = 1; i < values.length; i++) await bus.publish('order', i);
    const group = groupOf(OrderListener, 'on');
    await until('all are handled', () => statsOf(group).handled === values.length);
    assert.equal(statsOf(group).retried, 0);
  }),

  outcomeCase(
    'a returned Observable is subscribed: acknowledged when it completes, failed when it fails',
    async (bench) => {
      const done = new Log<string>('completions');
      const succeeding = listener(() =>
        timer(20).pipe(
          map(() => {
            done.add('completed');
            return 1;
          }),
        ),
      );
      await assertAcked(bench, succeeding, { options: { service: `${bench.name}.good` } });
      assert.equal(done.length, 1);
      const failing = listener(() => throwError(() => new Error('in the stream')));
      await assertDead(
        bench,
        failing,
        { ...EXHAUSTED, error: /in the stream/ },
        { options: { service: `${bench.name}.bad` } },
      );
    },
  ),

  outcomeCase('an interceptor that completes empty: acknowledged, the handler does not run', async (bench) => {
    let calls = 0;
    const OrderListener = intercepted(
      interceptor(() => EMPTY),
      () => calls++,
    );
    await assertAcked(bench, OrderListener);
    assert.equal(calls, 0);
  }),

  outcomeCase('an interceptor stands around the handler, sees its result, and its error counts', async (bench) => {
    const seen: unknown[] = [];
    const around = interceptor((context, next) => {
      seen.push([context.getType(), context.switchToRpc().getData(), context.getHandler().name]);
      return next.handle().pipe(
        map((value) => {
          seen.push(value);
          return value;
        }),
      );
    });
    await assertAcked(
      bench,
      intercepted(around, () => 'result'),
      { options: { service: `${bench.name}.good` } },
    );
    assert.deepEqual(seen, [['rpc', 1, 'on'], 'result']);
    const failing = intercepted(
      interceptor(() => defer(() => throwError(() => new Error('outside')))),
      () => of(1),
    );
    await assertDead(bench, failing, { ...EXHAUSTED, error: /outside/ }, { options: { service: `${bench.name}.bad` } });
  }),

  outcomeCase(
    'a handler over its time: its signal aborts, and it is retried when that run has ended',
    async (bench) => {
      const events = new Log<string>('events');
      const mails = new Log<unknown>('emitted events');
      const slow = async (_payload: unknown, context: EventContext): Promise<void> => {
        const { attempt, signal } = context;
        events.add(`start ${attempt}`);
        context.emit('mail', attempt);
        if (attempt > 1) return;
        await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()));
        events.add(`abort ${(signal.reason as Error).name}`);
        await quiet(60);
        events.add('end 1'); // even a late success does not count
      };
      const OrderListener = listener(slow, { timeoutMs: 50 });
      const { bus, statsOf, groupOf } = await bench.start({ providers: [OrderListener] });
      await bus.subscribe('mail', mails.add);
      await bus.publish('order', 1);
      assert.deepEqual(await events.settle(4), ['start 1', 'abort HandlerTimeoutError', 'end 1', 'start 2']);
      assert.deepEqual(mails.items, [2], 'a run over its time emits nothing');
      const { timedOut, handled, retried } = statsOf(groupOf(OrderListener, 'on'));
      assert.deepEqual({ timedOut, handled, retried }, { timedOut: 1, handled: 1, retried: 1 });
    },
  ),

  outcomeCase('a handler over its time that never ends is retried after a grace period', async (bench) => {
    const attempts = new Log<number>('attempts');
    const stuck = (_payload: unknown, { attempt }: EventContext): unknown => {
      attempts.add(attempt);
      return attempt === 1 ? new Promise(() => undefined) : 'done';
    };
    const OrderListener = listener(stuck, { timeoutMs: 50, concurrency: 1 });
    const { bus, statsOf, groupOf } = await bench.start({ providers: [OrderListener] });
    await bus.publish('order', 1);
    await attempts.reach(2, 10_000);
    assert.deepEqual(await attempts.settle(2), [1, 2]);
    assert.equal(statsOf(groupOf(OrderListener, 'on')).running, 0);
  }),

  outcomeCase('timeouts use up the attempts', async (bench) => {
    const slow = (_payload: unknown, { signal }: EventContext): unknown =>
      new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
    const OrderListener = listener(slow, { timeoutMs: 30 });
    const letter = await assertDead(bench, OrderListener, EXHAUSTED);
    assert.equal(letter.error?.name, 'HandlerTimeoutError');
  }),
];
