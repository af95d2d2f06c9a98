import assert from 'node:assert/strict';
import { Catch, type ExceptionFilter, Injectable, UseFilters } from '@nestjs/common';
import type { EventContext } from '../../bus/event-context.js';
import { ChainTooDeepError } from '../../core/errors.js';
import { OnEvent } from '../../decorators/on-event.decorator.js';
import { EventBusService } from '../../event-bus.service.js';
import type { ContractCase } from './contract.js';
import { busCase } from './contract-case.js';
import { Log } from './log.js';
import { until } from './until.js';

/** How far a chain of handlers goes. */
export const DEPTH_CASES: readonly ContractCase[] = [
  busCase('depth: handlers that feed each other stop at the limit, with one dead letter at once', async (bench) => {
    for (const maxDepth of [4, 5]) {
      const handled = new Log<readonly [topic: string, depth: number | undefined]>('events');
      const [ping, pong] = [`ping${maxDepth}`, `pong${maxDepth}`];
      @Injectable()
      class Player {
        constructor(private readonly bus: EventBusService) {}
        @OnEvent(ping)
        ping(_: unknown, context: EventContext): void {
          handled.add([ping, context.message.depth]);
          context.emit(pong, 0);
        }
        @OnEvent(pong)
        async pong(_: unknown, { message }: EventContext): Promise<void> {
          handled.add([pong, message.depth]);
          await this.bus.publish(ping, 0);
        }
      }
      const service = `${bench.name}.${maxDepth}`;
      const { bus, buried, groupOf } = await bench.start({
        providers: [Player],
        options: { service, publish: { maxDepth } },
      });
      await bus.publish(ping, 0);
      const isEven = maxDepth % 2 === 0;
      const [letter] = await buried(groupOf(Player, isEven ? 'ping' : 'pong'));
      const { reason, attempts, error } = letter ?? {};
      assert.deepEqual(
        [reason, attempts, error?.name, letter?.topic],
        ['chain-too-deep', 1, 'ChainTooDeepError', isEven ? ping : pong],
      );
      const all = await handled.settle(maxDepth + 1);
      assert.deepEqual(
        all,
        Array.from(all, (_, n) => [n % 2 === 0 ? ping : pong, n === 0 ? undefined : n]),
      );
    }
  }),

  busCase('depth: retries, dead letters and replays keep it', async (bench) => {
    const handled = new Log<readonly [topic: string, attempt: number, depth: number | undefined]>('attempts');
    let isWell = false;
    @Injectable()
    class Chain {
      @OnEvent('one')
      one(_: unknown, context: EventContext): void {
        context.emit('two', 2);
      }
      @OnEvent('two')
      two(_: unknown, context: EventContext): void {
        handled.add(['two', context.attempt, context.message.depth]);
        context.emit('three', 3);
        if (!isWell) throw new Error('not yet');
      }
      @OnEvent('three')
      three(_: unknown, { attempt, message }: EventContext): void {
        handled.add(['three', attempt, message.depth]);
      }
    }
    const { bus, buried, deadLetters, groupOf } = await bench.start({ providers: [Chain] });
    await bus.publish('one', 1);
    const group = groupOf(Chain, 'two');
    await buried(group);
    isWell = true;
    await deadLetters.replay(group);
    assert.deepEqual(await handled.settle(5), [
      ['two', 1, 1],
      ['two', 2, 1],
      ['two', 3, 1],
      ['two', 1, 1],
      ['three', 1, 2],
    ]);
  }),

  busCase('depth: a handler may catch the refusal, which says what and how deep', async (bench) => {
    const refusals = new Log<unknown>('refusals');
    @Injectable()
    class Chain {
      constructor(private readonly bus: EventBusService) {}
      @OnEvent('one')
      async one(): Promise<void> {
        await this.bus.publish('two', 2);
      }
      @OnEvent('two')
      async two(): Promise<void> {
        await this.bus.publish('three', 3).catch(refusals.add);
      }
    }
    const { bus, statsOf, groupOf } = await bench.start({ providers: [Chain], options: { publish: { maxDepth: 1 } } });
    await bus.publish('one', 1);
    const [refusal] = await refusals.settle(1);
    assert.ok(refusal instanceof ChainTooDeepError);
    const { code, topic, depth, retryable } = refusal;
    assert.deepEqual([code, topic, depth, retryable], ['CHAIN_TOO_DEEP', 'three', 2, false]);
    await until('it is handled', () => statsOf(groupOf(Chain, 'two')).handled === 1);
  }),

  busCase('depth: the refusal of what a filter publishes counts like that of the handler', async (bench) => {
    @Injectable()
    @Catch()
    class Telling implements ExceptionFilter {
      constructor(private readonly bus: EventBusService) {}
      async catch(): Promise<string> {
        await this.bus.publish('failed', 0);
        return 'handled';
      }
    }
    @Injectable()
    class Chain {
      @OnEvent('one')
      one(_: unknown, context: EventContext): void {
        context.emit('two', 2);
      }
      @UseFilters(Telling)
      @OnEvent('two')
      two(): void {
        throw new Error('told by the filter');
      }
    }
    const { bus, buried, groupOf } = await bench.start({ providers: [Chain], options: { publish: { maxDepth: 1 } } });
    await bus.publish('one', 1);
    const [letter] = await buried(groupOf(Chain, 'two'));
    assert.deepEqual([letter?.reason, letter?.attempts], ['chain-too-deep', 1]);
  }),

  busCase('depth: in a batch only the item that is too deep is dead', async (bench) => {
    const done = new Log<unknown>('batches');
    @Injectable()
    class Batcher {
      constructor(private readonly bus: EventBusService) {}
      @OnEvent('start')
      start(_: unknown, context: EventContext): void {
        context.emit('item', 'deep');
      }
      @OnEvent('item', { batch: { size: 2, waitMs: 200 } })
      async on(payloads: unknown[]): Promise<void> {
        await this.bus.publish('done', payloads);
      }
    }
    const { bus, buried, groupOf } = await bench.start({
      providers: [Batcher],
      options: { publish: { maxDepth: 1 } },
    });
    await bus.subscribe('done', done.add);
    await Promise.all([bus.publish('start', 0), bus.publish('item', 'plain')]);
    const [letter] = await buried(groupOf(Batcher, 'on'));
    assert.deepEqual([letter?.payload, letter?.reason], ['deep', 'chain-too-deep']);
    assert.deepEqual(await done.settle(1), [['plain']]);
  }),
];
