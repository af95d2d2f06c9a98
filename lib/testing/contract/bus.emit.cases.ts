import assert from 'node:assert/strict';
import {
  type ArgumentsHost,
  type CallHandler,
  Catch,
  type ExceptionFilter,
  type ExecutionContext,
  Injectable,
  type NestInterceptor,
  UseFilters,
  UseInterceptors,
} from '@nestjs/common';
import { catchError, type Observable, of, retry, tap } from 'rxjs';
import type { EventContext } from '../../bus/event-context.js';
import { defineEvent } from '../../bus/event-definition.js';
import { BatchError } from '../../core/errors.js';
import { Event } from '../../decorators/event.decorator.js';
import { OnCommand } from '../../decorators/on-command.decorator.js';
import { OnEvent } from '../../decorators/on-event.decorator.js';
import type { ContractCase } from './contract.js';
import { busCase } from './contract-case.js';
import { Log } from './log.js';
import { until } from './until.js';

const OrderSent = defineEvent<{ id: string }>('sent');

@Event('paid')
class OrderPaid {
  constructor(readonly id: string) {}
}

/** What handlers emit, and when it goes out. */
export const EMIT_CASES: readonly ContractCase[] = [
  busCase('emit: what is emitted when the handler has ended is refused, not lost and not sent later', async (bench) => {
    const late = new Log<unknown>('errors');
    const mails = new Log<unknown>('mails');
    let go: () => void = () => undefined;
    const ended = new Promise<void>((resolve) => {
      go = resolve;
    });
    const emitLate = async (context: EventContext): Promise<void> => {
      await ended;
      try {
        context.emit('mail', 'late');
      } catch (error) {
        late.add(error);
      }
    };
    @Injectable()
    class OrderListener {
      @OnEvent('order')
      on(payload: unknown, context: EventContext): void {
        void emitLate(context);
        context.emit('mail', `${String(payload)} ${context.attempt}`);
        if (payload === 'bad' && context.attempt === 1) throw new Error('again');
      }
    }
    const { bus, statsOf, groupOf } = await bench.start({ providers: [OrderListener] });
    await bus.subscribe('mail', mails.add);
    for (const payload of ['good', 'bad']) await bus.publish('order', payload);
    await until('both are handled', () => statsOf(groupOf(OrderListener, 'on')).handled === 2);
    go();
    const codes = (await late.settle(3)).map((error) => (error as { readonly code?: string }).code);
    assert.deepEqual(codes, ['CONTEXT_CLOSED', 'CONTEXT_CLOSED', 'CONTEXT_CLOSED']);
    assert.deepEqual((await mails.settle(2)).map(String).toSorted(), ['bad 2', 'good 1']);
  }),

  busCase('emit: each of many at a time publishes its own, once', async (bench) => {
    const count = 100;
    const mails = new Log<string>('mails');
    @Injectable()
    class OrderListener {
      @OnEvent('order', { concurrency: count })
      async on(payload: number, context: EventContext): Promise<void> {
        context.emit('mail', payload);
        await new Promise((resolve) => setTimeout(resolve, payload % 5));
        if (payload % 3 === 0 && context.attempt === 1) throw new Error('again');
      }
      @OnEvent('mail')
      mail(payload: unknown, { message }: EventContext): void {
        mails.add(`${String(payload)} ${message.causationId}`);
      }
    }
    const { bus } = await bench.start({ providers: [OrderListener] });
    const idOf = (n: number): string => `${bench.name}-${n}`;
    const events = Array.from({ length: count }, (_, n) => ({ topic: 'order', payload: n, options: { id: idOf(n) } }));
    await bus.publishAll(events);
    assert.deepEqual(new Set(await mails.settle(count)), new Set(events.map((_, n) => `${n} ${idOf(n)}`)));
  }),

  busCase('emit: takes what publish takes', async (bench) => {
    const seen = new Log<readonly [topic: string, type: string, payload: unknown]>('events');
    @Injectable()
    class OrderListener {
      @OnEvent('order')
      on(_: unknown, context: EventContext): void {
        context.emit(new OrderPaid('1'));
        context.emit(OrderSent, { id: '2' }, { key: 'k' });
      }
      @OnEvent('#')
      all(payload: unknown, { topic, message }: EventContext): void {
        if (topic !== 'order') seen.add([topic, message.type, payload]);
      }
    }
    const { bus } = await bench.start({ providers: [OrderListener] });
    await bus.publish('order', 0);
    const events = (await seen.settle(2)).toSorted(([a], [b]) => a.localeCompare(b));
    assert.deepEqual(events, [
      ['paid', 'paid', { id: '1' }],
      ['sent', 'sent', { id: '2' }],
    ]);
  }),

  busCase('emit: nothing is published when one of them cannot be', async (bench) => {
    const mails = new Log<unknown>('mails');
    @Injectable()
    class OrderListener {
      @OnEvent('order')
      on(_: unknown, context: EventContext): void {
        context.emit('mail', 1);
        context.emit('mail', 2n);
        context.emit('mail', 3);
      }
    }
    const { bus, buried, groupOf } = await bench.start({ providers: [OrderListener] });
    await bus.subscribe('mail', mails.add);
    await bus.publish('order', 0);
    const [letter] = await buried(groupOf(OrderListener, 'on'));
    assert.deepEqual([letter?.reason, letter?.attempts], ['attempts-exhausted', 3]);
    await mails.settle(0);
  }),

  busCase('emit: when a filter settles the error of a handler, what the filter emits counts', async (bench) => {
    const mails = new Log<unknown>('mails');
    @Catch()
    class Settling implements ExceptionFilter {
      catch(_: unknown, host: ArgumentsHost): string {
        const given: unknown = host.getArgByIndex(1);
        const contexts = (Array.isArray(given) ? given : [given]) as readonly EventContext[];
        contexts[0]?.emit('mail', 'of the filter');
        return 'handled';
      }
    }
    @Injectable()
    class Around implements NestInterceptor {
      intercept(host: ExecutionContext, next: CallHandler): Observable<unknown> {
        const context: EventContext = host.getArgByIndex(1);
        return next.handle().pipe(tap(() => context.emit('mail', 'of the interceptor')));
      }
    }
    @Injectable()
    class OrderListener {
      @UseFilters(Settling)
      @OnEvent('fails')
      fails(_: unknown, context: EventContext): void {
        context.emit('mail', 'of the handler that failed');
        throw new Error('settled by the filter');
      }
      @UseFilters(Settling)
      @OnEvent('batch', { batch: { size: 2, waitMs: 7_000 } })
      batch(payloads: unknown[], contexts: readonly EventContext[]): void {
        for (const [index, context] of contexts.entries()) context.emit('mail', `of item ${String(payloads[index])}`);
        throw new BatchError([{ index: 1, error: new Error('settled by the filter') }]);
      }
      @UseInterceptors(Around)
      @OnEvent('works', { idempotent: true })
      works(_: unknown, context: EventContext): void {
        context.emit('mail', 'of the handler');
      }
    }
    const { bus } = await bench.start({ providers: [OrderListener] });
    await bus.subscribe('mail', mails.add);
    await bus.publish('fails', 0);
    assert.deepEqual(await mails.settle(1), ['of the filter']);
    for (const payload of [0, 1]) await bus.publish('batch', payload);
    const ofBatch = ['of the filter', 'of item 0'];
    assert.deepEqual(new Set((await mails.settle(3)).slice(1)), new Set(ofBatch));
    for (let i = 0; i < 2; i++) await bus.publish('works', 0, { id: `${bench.name}-works` });
    assert.deepEqual(new Set((await mails.settle(5)).slice(3)), new Set(['of the handler', 'of the interceptor']));
  }),

  busCase(
    'emit: what a handler emitted before it threw is dropped, also when an interceptor settles it',
    async (bench) => {
      const mails = new Log<unknown>('mails');
      @Injectable()
      class Settling implements NestInterceptor {
        intercept(_: ExecutionContext, next: CallHandler): Observable<unknown> {
          return next.handle().pipe(catchError(() => of('settled')));
        }
      }
      @Injectable()
      class Again implements NestInterceptor {
        intercept(_: ExecutionContext, next: CallHandler): Observable<unknown> {
          return next.handle().pipe(retry(1));
        }
      }
      @Injectable()
      class OrderListener {
        private calls = 0;
        @UseInterceptors(Settling)
        @OnEvent('settled')
        settled(_: unknown, context: EventContext): void {
          context.emit('mail', 'of the handler that failed');
          throw new Error('settled by the interceptor');
        }
        @UseInterceptors(Again)
        @OnEvent('again')
        again(_: unknown, context: EventContext): void {
          context.emit('mail', `of call ${++this.calls}`);
          if (this.calls === 1) throw new Error('called again by the interceptor');
        }
      }
      const { bus, statsOf, groupOf } = await bench.start({ providers: [OrderListener] });
      await bus.subscribe('mail', mails.add);
      await bus.publish('settled', 0);
      await until('it is settled', () => statsOf(groupOf(OrderListener, 'settled')).handled === 1);
      await bus.publish('again', 0);
      assert.deepEqual(await mails.settle(1), ['of call 2']);
    },
  ),

  busCase('emit: the handler of a request that has failed cannot emit while its error is on the way', async (bench) => {
    const mails = new Log<unknown>('mails');
    const codes = new Log<unknown>('codes');
    /** In every turn of the event loop, until it is refused. */
    const emitLate = (context: EventContext): void => {
      try {
        context.emit('mail', 'late');
        queueMicrotask(() => emitLate(context));
      } catch (error) {
        codes.add((error as { readonly code?: string }).code);
      }
    };
    @Injectable()
    class OrderListener {
      @OnCommand('order')
      async on(_: unknown, context: EventContext): Promise<never> {
        queueMicrotask(() => emitLate(context));
        throw new Error('out of stock');
      }
    }
    const { bus } = await bench.start({ providers: [OrderListener] });
    await bus.subscribe('mail', mails.add);
    await assert.rejects(bus.request('order', 0), /out of stock/);
    assert.deepEqual(await codes.settle(1), ['CONTEXT_CLOSED']);
    await mails.settle(0);
  }),
];
