import assert from 'node:assert/strict';
import { Injectable, type Type } from '@nestjs/common';
import type { EventContext } from '../../bus/event-context.js';
import { BatchError, DeadLetterError } from '../../core/errors.js';
import { OnEvent, type OnEventOptions } from '../../decorators/on-event.decorator.js';
import type { ContractCase } from './contract.js';
import { busCase } from './contract-case.js';
import { Log } from './log.js';
import { quiet, until } from './until.js';

type Work = (payloads: readonly unknown[], contexts: readonly EventContext[]) => unknown;

/** So long no batch waits in a case that is about something else. */
const LONG_MS = 7_000;

/** A provider whose one handler of `click` gets batches and does `work`. */
function clickListener(
  work: Work,
  options: OnEventOptions & { readonly batch: { size: number; waitMs: number } },
): Type {
  @Injectable()
  class ClickListener {
    @OnEvent('click', options)
    on(payloads: unknown[], contexts: readonly EventContext[]): unknown {
      return work(payloads, contexts);
    }
  }
  return ClickListener;
}

const clicks = (count: number) => Array.from({ length: count }, (_, payload) => ({ topic: 'click', payload }));

/** One call of a handler for many events. */
export const BATCH_CASES: readonly ContractCase[] = [
  busCase('batch: a handler gets as many as it asks for, with the context of each', async (bench) => {
    const batches = new Log<readonly (readonly [payload: unknown, context: unknown])[]>('batches');
    const ClickListener = clickListener(
      (payloads, contexts) => {
        assert.equal(payloads.length, contexts.length);
        batches.add(payloads.map((payload, index) => [payload, contexts[index]?.headers.n]));
      },
      { batch: { size: 5, waitMs: LONG_MS } },
    );
    const { bus, statsOf, groupOf } = await bench.start({ providers: [ClickListener] });
    const events = clicks(20).map((event) => ({ ...event, options: { headers: { n: event.payload } } }));
    await bus.publishAll(events);
    const all = await batches.settle(4);
    assert.deepEqual(
      all.map(({ length }) => length),
      [5, 5, 5, 5],
    );
    assert.deepEqual(
      all.flat(),
      events.map(({ payload }) => [payload, payload]),
    );
    await until('all are settled', () => statsOf(groupOf(ClickListener, 'on')).handled === 20);
  }),

  busCase('batch: with fewer when the first of them has waited for its time', async (bench) => {
    const batches = new Log<readonly [at: number, payloads: readonly unknown[]]>('batches');
    const waitMs = 300;
    const ClickListener = clickListener((payloads) => batches.add([Date.now(), payloads]), {
      batch: { size: 10_000, waitMs },
    });
    const { bus } = await bench.start({ providers: [ClickListener] });
    const begin = Date.now();
    await bus.publish('click', 0);
    const end = Date.now();
    while (batches.length === 0) {
      await bus.publish('click', 1); // each of them would begin the wait anew, if any could
      await quiet(20);
    }
    const [first] = batches.items;
    assert.ok(first);
    const [at, payloads] = first;
    assert.equal(payloads[0], 0);
    assert.ok(at - end >= waitMs - 150 && at - begin < waitMs + 2_000, `the batch began ${at - begin} ms later`);
  }),

  busCase('batch: an error of the handler is that of every item; each is tried again, then dead', async (bench) => {
    const batches = new Log<readonly number[]>('batches');
    const ClickListener = clickListener(
      (_payloads, contexts) => {
        batches.add(contexts.map(({ attempt }) => attempt));
        throw new RangeError('database away');
      },
      { batch: { size: 2, waitMs: 40 } },
    );
    const { bus, buried, groupOf } = await bench.start({ providers: [ClickListener] });
    await bus.publishAll(clicks(2));
    const letters = await buried(groupOf(ClickListener, 'on'), 2);
    for (const { reason, attempts, error } of letters) {
      assert.deepEqual([reason, attempts, error?.message], ['attempts-exhausted', 3, 'database away']);
    }
    const attempts = batches.items.flat().toSorted((a, b) => a - b);
    assert.deepEqual(attempts, [1, 1, 2, 2, 3, 3]);
  }),

  busCase('batch: a BatchError fails the items that it names, each in its way; the others are done', async (bench) => {
    const handled = new Log<unknown>('events');
    const mails = new Log<unknown>('mails');
    const ClickListener = clickListener(
      (payloads, contexts) => {
        for (const [index, context] of contexts.entries()) context.emit('mail', payloads[index]);
        throw new BatchError(
          payloads.flatMap((payload, index) => {
            if (payload === 1) return [{ index, error: new DeadLetterError('never') }];
            if (payload === 2 && contexts[index]?.attempt === 1) return [{ index, error: new Error('again') }];
            handled.add(payload);
            return [];
          }),
        );
      },
      { batch: { size: 4, waitMs: 60 } },
    );
    const { bus, buried, statsOf, groupOf } = await bench.start({ providers: [ClickListener] });
    const group = groupOf(ClickListener, 'on');
    await bus.subscribe('mail', mails.add);
    await bus.publishAll(clicks(4));
    const [letter] = await buried(group);
    assert.deepEqual([letter?.payload, letter?.reason, letter?.attempts], [1, 'not-retryable', 1]);
    assert.deepEqual(await handled.settle(3), [0, 3, 2]);
    assert.deepEqual((await mails.settle(3)).map(String).toSorted(), ['0', '2', '3']);
    await until('all are settled', () => statsOf(group).handled === 3);
    assert.equal(statsOf(group).retried, 1);
  }),

  busCase('batch: what does not fit is dead by itself, and does not hurt the others', async (bench) => {
    const batches = new Log<readonly unknown[]>('batches');
    const schema = {
      '~standard': {
        version: 1,
        vendor: 'contract',
        validate: (value: unknown) => (Number(value) % 5 === 2 ? { issues: [{ message: 'not 2' }] } : { value }),
      },
    } as const;
    const ClickListener = clickListener((payloads) => batches.add(payloads), {
      batch: { size: 5, waitMs: LONG_MS },
      schema,
    });
    const { bus, buried, groupOf } = await bench.start({ providers: [ClickListener] });
    await bus.publishAll(clicks(10));
    const letters = await buried(groupOf(ClickListener, 'on'), 2);
    assert.deepEqual(
      letters.map(({ reason, payload, attempts }) => `${reason} ${String(payload)} ${attempts}`).toSorted(),
      ['validation 2 1', 'validation 7 1'],
    );
    assert.deepEqual(await batches.settle(2), [
      [0, 1, 3, 4],
      [5, 6, 8, 9],
    ]);
  }),

  busCase('batch: as many are sent ahead as fill it, whatever prefetch was asked for', async (bench) => {
    const batches = new Log<readonly unknown[]>('batches');
    const ClickListener = clickListener((payloads) => batches.add(payloads), {
      batch: { size: 30, waitMs: LONG_MS },
      prefetch: 1,
    });
    const { bus } = await bench.start({ providers: [ClickListener] });
    await bus.publishAll(clicks(30));
    assert.deepEqual(await batches.settle(1), [clicks(30).map(({ payload }) => payload)]);
  }),

  busCase('batch: with idempotent, a duplicate is left out, and only what succeeded is remembered', async (bench) => {
    const batches = new Log<readonly unknown[]>('batches');
    const ClickListener = clickListener(
      (payloads, contexts) => {
        batches.add(payloads);
        const index = payloads.indexOf('b');
        if (index >= 0 && contexts[index]?.attempt === 1) throw new BatchError([{ index, error: new Error('again') }]);
      },
      { batch: { size: 2, waitMs: 60 }, idempotent: true },
    );
    const { bus, statsOf, groupOf } = await bench.start({ providers: [ClickListener] });
    const group = groupOf(ClickListener, 'on');
    const publish = (id: string) => bus.publish('click', id, { id: `${bench.name}-${id}` });
    for (const id of ['a', 'b']) await publish(id);
    await until('both are handled', () => statsOf(group).handled === 2);
    for (const id of ['a', 'b']) await publish(id);
    await until('the duplicates came', () => statsOf(group).duplicates === 2);
    assert.deepEqual(batches.items, [['a', 'b'], ['b']]);
  }),

  busCase(
    'batch: at a shutdown what waits for others goes back, and what runs is finished',
    async (bench) => {
      const batches = new Log<readonly unknown[]>('batches');
      const released = new Log<unknown>('events');
      let finish: () => void = () => undefined;
      const finished = new Promise<void>((resolve) => {
        finish = resolve;
      });
      const ClickListener = clickListener(
        async (payloads) => {
          batches.add(payloads);
          await finished;
        },
        { batch: { size: 2, waitMs: LONG_MS } },
      );
      const first = await bench.start({ providers: [ClickListener] });
      const group = first.groupOf(ClickListener, 'on');
      await first.bus.publishAll(clicks(3));
      await batches.reach(1);
      await until('one waits', () => first.statsOf(group).waiting === 1);
      const closed = first.app.close();
      finish();
      await closed;
      assert.deepEqual([first.statsOf(group).handled, first.statsOf(group).released], [2, 1]);
      const LateListener = clickListener((payloads) => payloads.map(released.add), { batch: { size: 2, waitMs: 50 } });
      await bench.start({ providers: [LateListener] });
      assert.deepEqual(await released.settle(1), [2]);
    },
    'shared',
  ),

  busCase('batch: of broadcasts too, by every instance', async (bench) => {
    const batches = new Log<readonly unknown[]>('batches');
    const ClickListener = clickListener((payloads) => batches.add(payloads), {
      batch: { size: 2, waitMs: LONG_MS },
      delivery: 'broadcast',
    });
    const { bus } = await bench.start({ providers: [ClickListener] });
    await bus.publish('click', 'event');
    await bus.broadcast('click', 'broadcast');
    const [payloads = []] = await batches.settle(1);
    assert.deepEqual(payloads.map(String).toSorted(), ['broadcast', 'event']);
  }),
];
