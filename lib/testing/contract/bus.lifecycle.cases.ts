import assert from 'node:assert/strict';
import { Injectable, type OnApplicationBootstrap, type OnModuleDestroy, type OnModuleInit } from '@nestjs/common';
import type { EventContext } from '../../bus/event-context.js';
import type { PublishReceipt } from '../../bus/publish-options.js';
import { BusClosedError, ConfigurationError } from '../../core/errors.js';
import { OnEvent } from '../../decorators/on-event.decorator.js';
import { EventBusService } from '../../event-bus.service.js';
import type { ContractCase } from './contract.js';
import { busCase } from './contract-case.js';
import { Log } from './log.js';
import { quiet } from './until.js';

/** Boot and shutdown. */
export const LIFECYCLE_CASES: readonly ContractCase[] = [
  busCase(
    'a publish awaited in onModuleInit or onApplicationBootstrap works and reaches the handlers',
    async (bench) => {
      const seen = new Log<string>('events');
      const receipts: PublishReceipt[] = [];
      @Injectable()
      class EarlyPublisher implements OnModuleInit, OnApplicationBootstrap {
        constructor(private readonly bus: EventBusService) {}
        async onModuleInit(): Promise<void> {
          receipts.push(await this.bus.publish('boot.init', 'init'));
        }
        async onApplicationBootstrap(): Promise<void> {
          receipts.push(await this.bus.publish('boot.ready', 'bootstrap'));
        }
      }
      @Injectable()
      class BootListener {
        @OnEvent('boot.*')
        on(payload: string): void {
          seen.add(payload);
        }
      }
      await bench.start({ providers: [EarlyPublisher, BootListener] });
      assert.deepEqual((await seen.settle(2)).toSorted(), ['bootstrap', 'init']);
      assert.deepEqual(
        receipts.map(({ state, routed }) => [state, routed]),
        [
          ['confirmed', true],
          ['confirmed', true],
        ],
      );
    },
  ),

  busCase('autoStart: false: handlers wait for start(), events wait for them', async (bench) => {
    const seen = new Log<unknown>('events');
    @Injectable()
    class LateListener {
      @OnEvent('late')
      on(payload: unknown): void {
        seen.add(payload);
      }
    }
    const { bus } = await bench.start({ providers: [LateListener], options: { autoStart: false } });
    await bus.publish('late', 1);
    await quiet();
    assert.equal(seen.length, 0);
    await Promise.all([bus.start(), bus.start()]);
    assert.deepEqual(await seen.settle(1), [1]);
  }),

  busCase('C1 C2 after close the bus is closed: publish, subscribe and start reject BusClosedError', async (bench) => {
    const { app, bus, transport } = await bench.start();
    assert.equal(bus.status, 'up');
    await app.close();
    assert.equal(bus.status, 'closed');
    assert.equal(transport.connection.state, 'closed');
    await assert.rejects(bus.publish('late', 1), BusClosedError);
    await assert.rejects(bus.broadcast('late', 1), BusClosedError);
    await assert.rejects(
      bus.subscribe('late', () => undefined),
      BusClosedError,
    );
    await assert.rejects(bus.start(), BusClosedError);
    const { confirmed, failed } = await bus.publishAll([{ topic: 'late', payload: 1 }]);
    assert.deepEqual([confirmed, failed[0]?.error instanceof BusClosedError], [0, true]);
  }),

  busCase('a configuration that cannot work fails the boot and leaves nothing open', async (bench) => {
    @Injectable()
    class BadListener {
      @OnEvent('w'.repeat(300))
      on(): void {}
    }
    const error = await bench.startFails({ providers: [BadListener] });
    assert.ok(error instanceof ConfigurationError);
    assert.match(error.message, /BadListener\.on/);
    assert.deepEqual(
      bench.opened.map(({ connection }) => connection.state),
      ['closed'],
    );
  }),

  busCase(
    'W26 close waits for running handlers, which may still emit and publish; no other module has ended by then',
    async (bench) => {
      const events: string[] = [];
      const started = new Log<unknown>('starts');
      @Injectable()
      class Database implements OnModuleDestroy {
        onModuleDestroy(): void {
          events.push('database destroyed');
        }
      }
      @Injectable()
      class WorkListener {
        constructor(private readonly bus: EventBusService) {}
        @OnEvent('work')
        async on(_payload: unknown, context: EventContext): Promise<void> {
          started.add(1);
          await quiet(100);
          const { state } = await this.bus.publish('done', 1, { unroutable: 'ignore' });
          context.emit('done', 2, { unroutable: 'ignore' });
          events.push(`handled, ${state}`);
        }
      }
      const { app, bus, statsOf, groupOf } = await bench.start({ providers: [Database, WorkListener] });
      await bus.publish('work', 1);
      await started.reach(1);
      await app.close();
      assert.deepEqual(events, ['handled, confirmed', 'database destroyed']);
      assert.equal(statsOf(groupOf(WorkListener, 'on')).handled, 1);
      assert.deepEqual([bus.stats().confirmed, bus.stats().failed], [3, 0]);
    },
  ),

  busCase('W27 C13 a handler that never ends: its signal aborts at the deadline, and close ends', async (bench) => {
    const started = new Log<AbortSignal>('starts');
    @Injectable()
    class EndlessListener {
      @OnEvent('work')
      async on(_payload: unknown, { signal }: EventContext): Promise<void> {
        started.add(signal);
        await new Promise(() => undefined);
      }
    }
    const { app, bus } = await bench.start({
      providers: [EndlessListener],
      options: { shutdown: { deadlineMs: 150 } },
    });
    await bus.publish('work', 1);
    const [signal] = await started.reach(1);
    const before = Date.now();
    await app.close();
    const took = Date.now() - before;
    assert.ok(took >= 140 && took < 3_000, `close took ${took} ms`);
    assert.equal(signal?.aborted, true);
  }),

  busCase('W29 an application is closed twice and at once without an error', async (bench) => {
    const { app } = await bench.start();
    await Promise.all([app.close(), app.close()]);
    await app.close();
  }),

  busCase(
    'W28 what a process could not finish by its deadline is handled by another, no attempt counted',
    async (bench) => {
      const seen = new Log<string>('events');
      const listener = (name: string, work: (signal: AbortSignal) => Promise<void>) => {
        @Injectable()
        class WorkListener {
          @OnEvent('work', { concurrency: 1, prefetch: 3 })
          async on(payload: unknown, { attempt, signal }: EventContext): Promise<void> {
            seen.add(`${name} ${String(payload)} ${attempt}`);
            await work(signal);
          }
        }
        return WorkListener;
      };
      const untilAborted = (signal: AbortSignal): Promise<void> =>
        new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
      const first = await bench.start({
        providers: [listener('first', untilAborted)],
        options: { shutdown: { deadlineMs: 100 } },
      });
      for (const n of [1, 2, 3]) await first.bus.publish('work', n);
      await seen.reach(1);
      await first.app.close();
      const WorkListener = listener('second', () => Promise.resolve());
      const second = await bench.start({ providers: [WorkListener] });
      const handled = await seen.settle(4);
      assert.deepEqual(handled.slice(1).toSorted(), ['second 1 1', 'second 2 1', 'second 3 1']);
      assert.equal(await second.deadLetters.count(second.groupOf(WorkListener, 'on')), 0);
    },
    'shared',
  ),
];
