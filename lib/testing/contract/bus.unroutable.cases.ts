import assert from 'node:assert/strict';
import { Injectable } from '@nestjs/common';
import type { UnroutableMessage } from '../../bus/unroutable-message.js';
import { ConfigurationError, UnroutableError } from '../../core/errors.js';
import { OnEvent } from '../../decorators/on-event.decorator.js';
import type { AppBench, AppParts, TestApp } from './app.bench.js';
import type { ContractCase } from './contract.js';
import { busCase } from './contract-case.js';
import { Log } from './log.js';

type PublishSettings = NonNullable<AppParts['options']>['publish'];

/** An application with these settings; nothing on a transport that does not tell, where they are refused. */
async function startWith(
  bench: AppBench,
  publish: PublishSettings,
  parts: AppParts = {},
): Promise<TestApp | undefined> {
  const { capabilities } = await bench.create();
  const options = { ...parts.options, publish };
  if (capabilities.unroutable) return bench.start({ ...parts, options });
  assert.ok((await bench.startFails({ ...parts, options })) instanceof ConfigurationError);
  return undefined;
}

/** The names of the alternate exchange of the case and of the group behind it; both are removed with it. */
function alternateOf(bench: AppBench): { readonly exchange: string; readonly group: string } {
  const exchange = `${bench.exchange.name}.ae`;
  bench.willRemove(exchange);
  return { exchange, group: bench.group('events.unroutable') };
}

/** What becomes of events that no group gets. */
export const UNROUTABLE_CASES: readonly ContractCase[] = [
  busCase("unroutable: the bus's option is the default of each publish", async (bench) => {
    const started = await startWith(bench, { unroutable: 'reject' });
    if (!started) return;
    const { bus } = started;
    await assert.rejects(bus.publish('nobody.cares', 1), { name: 'UnroutableError', code: 'UNROUTABLE' });
    assert.equal((await bus.publish('nobody.cares', 1, { unroutable: 'ignore' })).routed, false);
    const { confirmed, failed } = await bus.publishAll([{ topic: 'nobody.cares', payload: 1 }]);
    assert.equal(confirmed, 0);
    assert.ok(failed[0]?.error instanceof UnroutableError);
  }),

  busCase("unroutable: 'store' keeps the latest, within its bound, until they are fetched", async (bench) => {
    const started = await startWith(bench, { unroutable: 'store', unroutableStore: { messages: 2 } });
    if (!started) return;
    const { bus } = started;
    for (let n = 0; n < 3; n++) await bus.publish('nobody.cares', { n }, { id: `id-${n}`, headers: { n } });
    await bus.publish('nobody.asks', 0, { unroutable: 'ignore' });
    const popped = bus.popUnroutables();
    const told = popped.map(({ id, topic, exchange, payload, headers, replyCode, replyText, broadcast }) => {
      return { id, topic, exchange, payload, headers: { ...headers }, replyCode, replyText, broadcast };
    });
    const common = { topic: 'nobody.cares', exchange: bench.exchange.name, replyCode: 312, replyText: 'NO_ROUTE' };
    assert.deepEqual(told, [
      { id: 'id-1', payload: { n: 1 }, headers: { n: 1 }, broadcast: false, ...common },
      { id: 'id-2', payload: { n: 2 }, headers: { n: 2 }, broadcast: false, ...common },
    ]);
    for (const { at } of popped) assert.ok(Math.abs(Date.now() - at) < 60_000);
    assert.deepEqual(bus.popUnroutables(), []);
    await bus.broadcast('nobody.hears', 1);
    assert.deepEqual(
      bus.popUnroutables().map(({ topic, broadcast }) => [topic, broadcast]),
      [['nobody.hears', true]],
    );
    const { unroutable, unroutableDropped, confirmed } = bus.stats();
    assert.deepEqual(
      { unroutable, unroutableDropped, confirmed },
      { unroutable: 5, unroutableDropped: 1, confirmed: 5 },
    );
  }),

  busCase('unroutable: the callback is told of all but what is to be ignored, and changes nothing', async (bench) => {
    const told = new Log<UnroutableMessage>('calls');
    const onUnroutable = async (unroutable: UnroutableMessage): Promise<void> => {
      told.add(unroutable);
      throw new Error('of the callback');
    };
    const started = await startWith(bench, { onUnroutable, unroutable: 'store' });
    if (!started) return;
    const { bus, lines } = started;
    alternateOf(bench);
    await bus.publish('a', 'kept');
    await bus.publish('b', 'warned', { unroutable: 'warn' });
    await bus.publish('c', 'ignored', { unroutable: 'ignore' });
    await assert.rejects(bus.publish('d', 'rejected', { unroutable: 'reject' }), UnroutableError);
    await bus.publish('e', 'sent on', { unroutable: 'alternate-exchange' });
    await bus.publish('f', 'later', { unroutable: 'reject', background: true });
    const calls = await told.settle(5);
    assert.deepEqual(
      calls.map(({ topic, payload }) => [topic, payload]),
      [
        ['a', 'kept'],
        ['b', 'warned'],
        ['d', 'rejected'],
        ['e', 'sent on'],
        ['f', 'later'],
      ],
    );
    assert.equal(lines.filter((line) => line.startsWith('error publish.onUnroutable failed')).length, 5);
    assert.equal(bus.popUnroutables().length, 1);
  }),

  busCase(
    "unroutable: 'alternate-exchange' keeps them for a group, which retries and buries like any",
    async (bench) => {
      const alternate = alternateOf(bench);
      const seen = new Log<unknown>('what nobody wanted');
      @Injectable()
      class LostProperty {
        @OnEvent('#', alternate)
        on(payload: unknown, { topic, attempt }: { readonly topic: string; readonly attempt: number }): void {
          seen.add([topic, payload, attempt]);
          if (payload === 'bad') throw new Error('again');
        }
      }
      const started = await startWith(
        bench,
        { unroutable: 'alternate-exchange' },
        { providers: [LostProperty], options: { autoStart: false } },
      );
      if (!started) return;
      const { bus, buried } = started;
      const receipt = await bus.publish('nobody.cares', 'good', { id: 'own' });
      assert.deepEqual(receipt, { id: 'own', topic: 'nobody.cares', state: 'confirmed', routed: false });
      await bus.start();
      await seen.reach(1);
      await bus.broadcast('nobody.hears', 'bad');
      const events = await seen.settle(4);
      assert.deepEqual(events, [
        ['nobody.cares', 'good', 1],
        ['nobody.hears', 'bad', 1],
        ['nobody.hears', 'bad', 2],
        ['nobody.hears', 'bad', 3],
      ]);
      const [letter] = await buried(alternate.group);
      assert.equal(letter?.topic, 'nobody.hears');
      assert.deepEqual([bus.stats().confirmed, bus.stats().failed, bus.stats().unroutable], [2, 0, 2]);
    },
  ),

  busCase(
    "unroutable: one publish can ask for 'alternate-exchange', and whoever comes later gets it",
    async (bench) => {
      const { capabilities } = await bench.create();
      if (!capabilities.unroutable) return;
      const { exchange, group } = alternateOf(bench);
      const seen = new Log<unknown>('what nobody wanted');
      const { bus } = await bench.start();
      const receipts = await Promise.all(
        Array.from({ length: 200 }, (_, n) => bus.publish('nobody.cares', n, { unroutable: 'alternate-exchange' })),
      );
      assert.ok(receipts.every(({ state, routed }) => state === 'confirmed' && routed === false));
      await bus.subscribe('#', seen.add, { exchange, group, concurrency: 1 });
      assert.deepEqual(
        await seen.settle(200),
        Array.from({ length: 200 }, (_, n) => n),
      );
    },
  ),
];
