import assert from 'node:assert/strict';
import { Injectable, type Type } from '@nestjs/common';
import type { EventContext } from '../../bus/event-context.js';
import { MemoryInboxStore } from '../../bus/memory-inbox.store.js';
import type { InboxStore } from '../../core/inbox.js';
import { OnEvent, type OnEventOptions } from '../../decorators/on-event.decorator.js';
import type { ContractCase } from './contract.js';
import { busCase } from './contract-case.js';
import { Log } from './log.js';
import { quiet, until } from './until.js';

const WINDOW_MS = 60_000;

/** A provider whose one idempotent handler of `order` does `work`. */
function orderListener(
  work: (payload: unknown, context: EventContext) => unknown,
  options: OnEventOptions = { idempotent: true },
): Type {
  @Injectable()
  class OrderListener {
    @OnEvent('order', options)
    on(payload: unknown, context: EventContext): unknown {
      return work(payload, context);
    }
  }
  return OrderListener;
}

/** A message has one effect, however often it comes. */
export const IDEMPOTENT_CASES: readonly ContractCase[] = [
  busCase('idempotent: what is published twice with one id has one effect', async (bench) => {
    const effects = new Log<unknown>('effects');
    const OrderListener = orderListener((payload, context) => {
      effects.add(payload);
      context.emit('mail', payload);
    });
    const mails = new Log<unknown>('mails');
    const { bus, statsOf, groupOf } = await bench.start({ providers: [OrderListener] });
    const group = groupOf(OrderListener, 'on');
    await bus.subscribe('mail', mails.add);
    for (const id of ['a', 'b', 'a']) await bus.publish('order', id, { id: `${bench.name}-${id}` });
    await until('the duplicate came', () => statsOf(group).duplicates === 1);
    assert.deepEqual((await effects.settle(2)).map(String).toSorted(), ['a', 'b']);
    await mails.settle(2);
    assert.equal(statsOf(group).handled, 2);
  }),

  busCase('idempotent: what comes while the first is still handled waits, and then is a duplicate', async (bench) => {
    const effects = new Log<unknown>('effects');
    let finish: () => void = () => undefined;
    const finished = new Promise<void>((resolve) => {
      finish = resolve;
    });
    const OrderListener = orderListener(async (payload) => {
      effects.add(payload);
      await finished;
    });
    const { bus, deadLetters, statsOf, groupOf } = await bench.start({ providers: [OrderListener] });
    const group = groupOf(OrderListener, 'on');
    const id = `${bench.name}-a`;
    await Promise.all([1, 2, 3].map((n) => bus.publish('order', n, { id })));
    await until('the others are put off', () => statsOf(group).deferred >= 2);
    finish();
    await until('the others came again', () => statsOf(group).duplicates === 2);
    assert.equal(effects.length, 1);
    assert.deepEqual([statsOf(group).retried, await deadLetters.count(group)], [0, 0]);
  }),

  busCase('idempotent: a handler that failed runs again, and then never more', async (bench) => {
    const attempts = new Log<number>('attempts');
    const OrderListener = orderListener((_payload, { attempt }) => {
      attempts.add(attempt);
      if (attempt < 3) throw new Error('again');
    });
    const { bus, statsOf, groupOf } = await bench.start({ providers: [OrderListener] });
    const id = `${bench.name}-a`;
    await bus.publish('order', 1, { id });
    await attempts.reach(3);
    await bus.publish('order', 1, { id });
    await until('the duplicate came', () => statsOf(groupOf(OrderListener, 'on')).duplicates === 1);
    assert.deepEqual(await attempts.settle(3), [1, 2, 3]);
  }),

  busCase('idempotent: a dead letter that is replayed is handled, and its duplicate is not', async (bench) => {
    const runs = new Log<unknown>('runs');
    let isMended = false;
    const OrderListener = orderListener(
      (payload) => {
        runs.add(payload);
        if (!isMended) throw new Error('not yet');
      },
      { idempotent: true, retry: false },
    );
    const { bus, deadLetters, statsOf, groupOf } = await bench.start({ providers: [OrderListener] });
    const group = groupOf(OrderListener, 'on');
    const id = `${bench.name}-a`;
    for (const payload of [1, 2]) await bus.publish('order', payload, { id });
    await until('both are dead', async () => (await deadLetters.count(group)) === 2);
    isMended = true;
    assert.equal(await deadLetters.replay(group), 2);
    await until('one is a duplicate', () => statsOf(group).duplicates === 1);
    assert.equal((await runs.settle(3)).length, 3);
    assert.equal(await deadLetters.count(group), 0);
  }),

  busCase('F44 idempotent: a duplicate inside, at and after the window: 1, 1, 2 effects', async (bench) => {
    const effects = new Log<unknown>('effects');
    const clock = { now: 0 };
    const inbox = new MemoryInboxStore({ now: () => clock.now });
    const OrderListener = orderListener(effects.add, { idempotent: { windowMs: WINDOW_MS } });
    const { bus, statsOf, groupOf } = await bench.start({ providers: [OrderListener], options: { inbox } });
    const group = groupOf(OrderListener, 'on');
    const publishAt = async (ms: number): Promise<void> => {
      const before = statsOf(group);
      clock.now = ms;
      await bus.publish('order', ms, { id: `${bench.name}-a` });
      const total = before.handled + before.duplicates + 1;
      await until('it was settled', () => statsOf(group).handled + statsOf(group).duplicates === total);
    };
    for (const ms of [0, WINDOW_MS - 1, WINDOW_MS]) await publishAt(ms);
    assert.deepEqual(effects.items, [0]);
    await publishAt(WINDOW_MS + 1);
    assert.deepEqual(effects.items, [0, WINDOW_MS + 1]);
  }),

  busCase('idempotent: a run that succeeds after its timeout counts, and its retry is a duplicate', async (bench) => {
    const runs = new Log<number>('runs');
    const mails = new Log<unknown>('mails');
    const OrderListener = orderListener(
      async (_payload, context) => {
        runs.add(context.attempt);
        context.emit('mail', context.attempt);
        while (!context.signal.aborted) await quiet(5);
      },
      { idempotent: true, timeoutMs: 60 },
    );
    const { bus, deadLetters, statsOf, groupOf } = await bench.start({ providers: [OrderListener] });
    const group = groupOf(OrderListener, 'on');
    await bus.subscribe('mail', mails.add);
    const id = `${bench.name}-a`;
    await bus.publish('order', 1, { id });
    await mails.reach(1);
    await bus.publish('order', 1, { id });
    await until('the duplicate came', () => statsOf(group).duplicates === 1);
    assert.deepEqual([runs.items, mails.items], [[1], [1]]);
    assert.equal(await deadLetters.count(group), 0);
  }),

  busCase('idempotent: while the store fails nothing is handled and no attempt is counted', async (bench) => {
    const attempts = new Log<number>('attempts');
    const memory = new MemoryInboxStore();
    let isAway = true;
    const inbox: InboxStore = {
      claim: (...args) => (isAway ? Promise.reject(new Error('database away')) : memory.claim(...args)),
      done: (group, id, windowMs) => memory.done(group, id, windowMs),
      forget: (...args) => memory.forget(...args),
    };
    const OrderListener = orderListener((_payload, { attempt }) => attempts.add(attempt), {
      idempotent: true,
      retry: false,
    });
    const { bus, lines, statsOf, groupOf } = await bench.start({ providers: [OrderListener], options: { inbox } });
    const group = groupOf(OrderListener, 'on');
    await bus.publish('order', 1);
    await until('it is put off', () => statsOf(group).deferred >= 1);
    isAway = false;
    assert.deepEqual(await attempts.settle(1), [1]);
    const said = lines.filter((line) => line.includes('inbox failed'));
    assert.deepEqual(
      said.map((line) => line.includes(group) && line.includes('database away')),
      [true],
    );
  }),

  busCase(
    'F30 idempotent: what another instance has handled and could not acknowledge is recognized by a shared store',
    async (bench) => {
      const effects = new Log<string>('effects');
      const inbox = new MemoryInboxStore(); // stands for one that they share
      const parts = (name: string) => ({
        providers: [orderListener(() => effects.add(name))],
        options: { inbox },
      });
      const first = await bench.start(parts('first'));
      const second = await bench.start(parts('second'));
      const id = `${bench.name}-a`;
      await first.bus.publish('order', 1, { id });
      await effects.reach(1);
      for (let n = 0; n < 8; n++) await second.bus.publish('order', 1, { id });
      const duplicates = (): number =>
        [first, second].reduce((sum, { statsOf }) => sum + statsOf(`${bench.name}.OrderListener.on`).duplicates, 0);
      await until('all duplicates came', () => duplicates() === 8);
      assert.equal(effects.length, 1);
    },
    'shared',
  ),

  busCase(
    'idempotent: what was given back at a shutdown, and then was finished after all, is a duplicate elsewhere',
    async (bench) => {
      const effects = new Log<string>('effects');
      const inbox = new MemoryInboxStore();
      let finish: () => void = () => undefined;
      const finished = new Promise<void>((resolve) => {
        finish = resolve;
      });
      const slow = orderListener(async () => {
        effects.add('first');
        await finished;
      });
      const first = await bench.start({ providers: [slow], options: { inbox, shutdown: { deadlineMs: 300 } } });
      await first.bus.publish('order', 1);
      await effects.reach(1);
      await first.app.close();
      const second = await bench.start({ providers: [orderListener(() => effects.add('second'))], options: { inbox } });
      const stats = () => second.statsOf(second.groupOf(slow, 'on'));
      await until('it is put off, as the first one may still end', () => stats().deferred >= 1);
      finish();
      await until('the duplicate came', () => stats().duplicates === 1);
      assert.deepEqual(effects.items, ['first']);
    },
    'shared',
  ),

  busCase(
    'idempotent: a broadcast is handled by every instance, whatever store they share',
    async (bench) => {
      const effects = new Log<string>('effects');
      const inbox = new MemoryInboxStore();
      const parts = (name: string) => ({ providers: [orderListener(() => effects.add(name))], options: { inbox } });
      const first = await bench.start(parts('first'));
      await bench.start(parts('second'));
      await first.bus.broadcast('order', 1);
      assert.deepEqual((await effects.settle(2)).map(String).toSorted(), ['first', 'second']);
    },
    'shared',
  ),
];
