import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { setTimeout as pause } from 'node:timers/promises';
import {
  type CallHandler,
  type CanActivate,
  Injectable,
  type NestInterceptor,
  type OnModuleInit,
  Scope,
  UseGuards,
  UseInterceptors,
} from '@nestjs/common';
import { type Observable, tap } from 'rxjs';
import type { EventContext } from '../../bus/event-context.js';
import type { Message } from '../../core/message.js';
import { OnEvent } from '../../decorators/on-event.decorator.js';
import { EventBusService } from '../../event-bus.service.js';
import { EventContextHost } from '../../event-context.host.js';
import type { ContractCase } from './contract.js';
import { busCase } from './contract-case.js';
import { Log } from './log.js';

type Ids = readonly [topic: string, correlationId: string | undefined, causationId: string | undefined];

function idsOf({ topic, correlationId, causationId }: Message): Ids {
  return [topic, correlationId, causationId];
}

/** What belongs together: the ids, and whose work it is. */
export const CHAIN_CASES: readonly ContractCase[] = [
  busCase(
    'chain: what handlers publish has the correlation of the first event and the id of the last',
    async (bench) => {
      const seen = new Log<Message>('events');
      @Injectable()
      class Chain {
        constructor(private readonly bus: EventBusService) {}
        @OnEvent('one')
        async one(): Promise<void> {
          await this.bus.publish('two', 2);
        }
        @OnEvent('two')
        two(_: unknown, context: EventContext): void {
          context.emit('three', 3);
        }
        @OnEvent('three')
        async three(): Promise<void> {
          await this.bus.publishAll([{ topic: 'four', payload: 4 }]);
          await this.bus.broadcast('five', 5);
        }
        @OnEvent('#')
        all(_: unknown, { message }: EventContext): void {
          seen.add(message);
        }
      }
      const { bus } = await bench.start({ providers: [Chain] });
      await bus.publish('one', 1);
      const messages = await seen.settle(5);
      const idOf = new Map(messages.map(({ topic, id }) => [topic, id]));
      const first = idOf.get('one');
      assert.deepEqual(
        new Map(messages.map((message) => [message.topic, idsOf(message)])),
        new Map([
          ['one', ['one', undefined, undefined]],
          ['two', ['two', first, first]],
          ['three', ['three', first, idOf.get('two')]],
          ['four', ['four', first, idOf.get('three')]],
          ['five', ['five', first, idOf.get('three')]],
        ]),
      );
    },
  ),

  busCase('chain: ids that are given win; without a handler there are none', async (bench) => {
    const seen = new Log<Message>('events');
    @Injectable()
    class Chain implements OnModuleInit {
      constructor(private readonly bus: EventBusService) {}
      async onModuleInit(): Promise<void> {
        await this.bus.publish('early', 0, { id: `${bench.name}-early` });
      }
      @OnEvent('one')
      async one(_: unknown, context: EventContext): Promise<void> {
        await this.bus.publish('both', 2, { correlationId: 'mine', causationId: 'own' });
        context.emit('half', 3, { correlationId: 'mine' });
      }
      @OnEvent(['early', 'both', 'half', 'after'])
      all(_: unknown, { message }: EventContext): void {
        seen.add(message);
      }
    }
    const { bus } = await bench.start({ providers: [Chain] });
    await bus.publish('one', 1, { id: `${bench.name}-one`, correlationId: 'c-0' });
    await seen.reach(3);
    await bus.publish('after', 4);
    const ids = (await seen.settle(4)).map(idsOf).toSorted(([a], [b]) => a.localeCompare(b));
    assert.deepEqual(ids, [
      ['after', undefined, undefined],
      ['both', 'mine', 'own'],
      ['early', undefined, undefined],
      ['half', 'mine', `${bench.name}-one`],
    ]);
  }),

  busCase('chain: of 500 that are handled at a time, none has the ids of another', async (bench) => {
    const seen = new Log<readonly [payload: unknown, cause: string | undefined]>('answers');
    const count = 500;
    @Injectable()
    class Asker {
      constructor(
        private readonly bus: EventBusService,
        private readonly host: EventContextHost,
      ) {}
      @OnEvent('ask', { concurrency: count })
      async ask(payload: number, context: EventContext): Promise<void> {
        await pause(payload % 7);
        assert.equal(this.host.current, context);
        await this.answer(payload);
        assert.equal(this.host.getOrThrow(), context);
      }
      private async answer(payload: number): Promise<void> {
        for await (const chunk of Readable.from([payload])) await this.bus.publish('answer', chunk);
      }
      @OnEvent('answer')
      on(payload: unknown, { message }: EventContext): void {
        seen.add([payload, message.causationId]);
      }
    }
    const { bus } = await bench.start({ providers: [Asker], options: { consume: { maxConcurrency: count } } });
    const idOf = (n: number): string => `${bench.name}-${n}`;
    const { failed } = await bus.publishAll(
      Array.from({ length: count }, (_, n) => ({ topic: 'ask', payload: n, options: { id: idOf(n) } })),
    );
    assert.deepEqual(failed, []);
    const answers = await seen.settle(count);
    assert.deepEqual(
      answers.filter(([payload, cause]) => cause !== idOf(Number(payload))),
      [],
    );
  }),

  busCase('chain: guards, interceptors and request-scoped handlers are told what is handled', async (bench) => {
    const seen = new Log<readonly [who: string, id: string | undefined]>('calls');
    const see = (who: string, host: EventContextHost): void => seen.add([who, host.current?.message.id]);
    @Injectable()
    class Guard implements CanActivate {
      constructor(private readonly host: EventContextHost) {}
      canActivate(): boolean {
        see('guard', this.host);
        return true;
      }
    }
    @Injectable()
    class Interceptor implements NestInterceptor {
      constructor(private readonly host: EventContextHost) {}
      intercept(_: unknown, next: CallHandler): Observable<unknown> {
        see('before', this.host);
        return next.handle().pipe(tap(() => see('after', this.host)));
      }
    }
    @Injectable({ scope: Scope.REQUEST })
    class Listener {
      constructor(private readonly host: EventContextHost) {
        see('constructor', host);
      }
      @UseGuards(Guard)
      @UseInterceptors(Interceptor)
      @OnEvent('order')
      async on(): Promise<void> {
        await pause(1);
        see('handler', this.host);
      }
    }
    const { bus, app } = await bench.start({ providers: [Listener] });
    const id = `${bench.name}-1`;
    await bus.publish('order', 1, { id });
    const calls = await seen.settle(5);
    assert.deepEqual(calls, [
      ['constructor', id],
      ['guard', id],
      ['before', id],
      ['handler', id],
      ['after', id],
    ]);
    assert.equal(app.get(EventContextHost).current, undefined);
  }),

  busCase('chain: without asyncContext only what is emitted belongs to it', async (bench) => {
    const seen = new Log<readonly [...ids: Ids, depth: number | undefined]>('events');
    @Injectable()
    class Chain {
      constructor(
        private readonly bus: EventBusService,
        private readonly host: EventContextHost,
      ) {}
      @OnEvent('one')
      async one(_: unknown, context: EventContext): Promise<void> {
        assert.equal(this.host.current, undefined);
        await this.bus.publish('published', 2);
        context.emit('emitted', 3);
      }
      @OnEvent(['published', 'emitted'])
      all(_: unknown, { message }: EventContext): void {
        assert.equal(this.host.current, undefined);
        seen.add([...idsOf(message), message.depth]);
      }
    }
    const { bus } = await bench.start({ providers: [Chain], options: { consume: { asyncContext: false } } });
    const { id } = await bus.publish('one', 1);
    const events = (await seen.settle(2)).toSorted(([a], [b]) => a.localeCompare(b));
    assert.deepEqual(events, [
      ['emitted', id, id, 1],
      ['published', undefined, undefined, undefined],
    ]);
  }),

  busCase('chain: what a batch publishes has what all its events share', async (bench) => {
    const seen = new Log<readonly [...ids: Ids, current: boolean]>('events');
    @Injectable()
    class Batcher {
      constructor(
        private readonly bus: EventBusService,
        private readonly host: EventContextHost,
      ) {}
      @OnEvent('item', { batch: { size: 2, waitMs: 7_000 } })
      async on(payloads: unknown[], contexts: readonly EventContext[]): Promise<void> {
        await this.bus.publish('done', payloads.length, { headers: { current: this.host.current !== undefined } });
        for (const context of contexts) context.emit('each', 0);
      }
      @OnEvent(['done', 'each'])
      done(_: unknown, { message, headers }: EventContext): void {
        seen.add([...idsOf(message), headers.current === true]);
      }
    }
    const { bus } = await bench.start({ providers: [Batcher] });
    const items = (correlations: readonly string[]) =>
      correlations.map((correlationId, n) => ({
        topic: 'item',
        payload: n,
        options: { id: `${bench.name}-${correlationId}-${n}`, correlationId },
      }));
    await bus.publishAll(items(['a', 'a']));
    await seen.reach(3);
    await bus.publishAll(items(['b', 'c']));
    const published = (await seen.settle(6)).map((one) => one.join(' ')).toSorted();
    const idOf = (correlationId: string, n: number): string => `${bench.name}-${correlationId}-${n}`;
    assert.deepEqual(published, [
      'done   false',
      'done a  false',
      `each a ${idOf('a', 0)} false`,
      `each a ${idOf('a', 1)} false`,
      `each b ${idOf('b', 0)} false`,
      `each c ${idOf('c', 1)} false`,
    ]);
  }),
];
