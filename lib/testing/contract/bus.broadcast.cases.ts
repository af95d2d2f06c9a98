import assert from 'node:assert/strict';
import { Injectable, type Type } from '@nestjs/common';
import type { EventContext } from '../../bus/event-context.js';
import { OnEvent } from '../../decorators/on-event.decorator.js';
import type { ContractCase } from './contract.js';
import { busCase } from './contract-case.js';
import { Log } from './log.js';

/** One shared and one broadcast handler of the same events. */
function cacheListener(seen: Log<string>, instance = 'app'): Type {
  @Injectable()
  class CacheListener {
    @OnEvent('cache.*')
    shared(payload: unknown): void {
      seen.add(`shared ${instance} ${String(payload)}`);
    }
    @OnEvent('cache.*', { delivery: 'broadcast' })
    each(payload: unknown): void {
      seen.add(`each ${instance} ${String(payload)}`);
    }
  }
  return CacheListener;
}

/** How many copies there are. */
export const BROADCAST_CASES: readonly ContractCase[] = [
  busCase('in one instance each handler gets a publish once and a broadcast once', async (bench) => {
    const seen = new Log<string>('events');
    const { bus } = await bench.start({ providers: [cacheListener(seen)] });
    assert.equal((await bus.publish('cache.clear', 'published')).routed, true);
    assert.equal((await bus.broadcast('cache.clear', 'broadcast')).routed, true);
    const expected = ['each app broadcast', 'each app published', 'shared app broadcast', 'shared app published'];
    assert.deepEqual((await seen.settle(4)).toSorted(), expected);
  }),

  busCase(
    'a broadcast reaches subscriptions from code, with a group and without, and only who asks for it',
    async (bench) => {
      const seen = new Log<string>('events');
      const { bus, transport } = await bench.start();
      await bus.subscribe('cache.*', (payload) => seen.add(`own ${String(payload)}`));
      await bus.subscribe('cache.*', (payload) => seen.add(`group ${String(payload)}`), {
        group: bench.group('readers'),
      });
      await bus.subscribe('other.*', (payload) => seen.add(`other ${String(payload)}`));
      assert.equal((await bus.broadcast('cache.clear', 1)).routed, true);
      assert.deepEqual((await seen.settle(2)).toSorted(), ['group 1', 'own 1']);
      const { routed } = await bus.broadcast('nobody.asks', 1, { unroutable: 'ignore' });
      if (transport.capabilities.unroutable) assert.equal(routed, false);
    },
  ),

  busCase(
    'a broadcast that one group fails is tried again there, in no other, and kept for the service',
    async (bench) => {
      const attempts = new Log<string>('attempts');
      @Injectable()
      class CacheListener {
        @OnEvent('cache.*')
        good(_payload: unknown, { attempt }: EventContext): void {
          attempts.add(`good ${attempt}`);
        }
        @OnEvent('cache.*')
        bad(_payload: unknown, { attempt }: EventContext): void {
          attempts.add(`bad ${attempt}`);
          throw new Error('always');
        }
      }
      const { bus, service, buried } = await bench.start({ providers: [CacheListener] });
      await bus.broadcast('cache.clear', 'x');
      assert.deepEqual((await attempts.settle(4)).toSorted(), ['bad 1', 'bad 2', 'bad 3', 'good 1']);
      const [letter] = await buried(`${service}.broadcast`);
      assert.deepEqual([letter?.topic, letter?.payload, letter?.reason], ['cache.clear', 'x', 'attempts-exhausted']);
    },
  ),

  busCase('C14 what one handler does to a broadcast message no other handler sees', async (bench) => {
    const seen = new Log<unknown>('events');
    @Injectable()
    class CacheListener {
      @OnEvent('cache.*')
      one(payload: unknown, { message }: EventContext): void {
        message.body.fill(0);
        seen.add(payload);
      }
      @OnEvent('cache.*')
      two(payload: unknown, { message }: EventContext): void {
        message.body.fill(0);
        seen.add(payload);
      }
    }
    const { bus } = await bench.start({ providers: [CacheListener] });
    await bus.broadcast('cache.clear', 'whole');
    assert.deepEqual(await seen.settle(2), ['whole', 'whole']);
  }),

  busCase(
    'two instances: shared handlers get a publish once and a broadcast each; broadcast handlers both each',
    async (bench) => {
      const seen = new Log<string>('events');
      const [one] = [
        await bench.start({ providers: [cacheListener(seen, 'a')] }),
        await bench.start({ providers: [cacheListener(seen, 'b')] }),
      ];
      await one.bus.publish('cache.clear', 1);
      const published = (await seen.settle(3)).toSorted();
      assert.deepEqual(published.slice(0, 2), ['each a 1', 'each b 1']);
      assert.match(published[2] ?? '', /^shared [ab] 1$/);
      await one.bus.broadcast('cache.clear', 2);
      const all = await seen.settle(7);
      assert.deepEqual(all.slice(3).toSorted(), ['each a 2', 'each b 2', 'shared a 2', 'shared b 2']);
    },
    'shared',
  ),

  busCase(
    'two namespaces on one broker never meet',
    async (bench) => {
      const seen = new Log<string>('events');
      for (const namespace of ['blue', 'green']) {
        const base = `${bench.name}.${namespace}.${bench.exchange.name}`;
        bench.willRemove(base, `${base}.broadcast`);
      }
      const start = (namespace: string): ReturnType<typeof bench.start> =>
        bench.start({
          providers: [cacheListener(seen, namespace)],
          options: { namespace: `${bench.name}.${namespace}` },
        });
      const [blue] = [await start('blue'), await start('green')];
      await blue.bus.publish('cache.clear', 1);
      await blue.bus.broadcast('cache.clear', 2);
      const expected = ['each blue 1', 'each blue 2', 'shared blue 1', 'shared blue 2'];
      assert.deepEqual((await seen.settle(4)).toSorted(), expected);
    },
    'shared',
  ),
];
