import assert from 'node:assert/strict';
import { Injectable } from '@nestjs/common';
import { concat, finalize, NEVER, of } from 'rxjs';
import { Command } from '../../bus/command-definition.js';
import type { EventContext } from '../../bus/event-context.js';
import {
  EventBusError,
  NoHandlerError,
  RemoteError,
  RequestCancelledError,
  RequestTimeoutError,
} from '../../core/errors.js';
import { Event } from '../../decorators/event.decorator.js';
import { OnCommand } from '../../decorators/on-command.decorator.js';
import { OnEvent } from '../../decorators/on-event.decorator.js';
import type { ContractCase } from './contract.js';
import { busCase } from './contract-case.js';
import { Log } from './log.js';
import { quiet, until } from './until.js';

@Event('count')
class Count extends Command<number> {
  constructor(
    readonly to: number,
    readonly from = 0,
  ) {
    super();
  }
}

/** Counts, and writes down how it fares. */
function counter() {
  const told = { given: 0, ended: 0, signal: undefined as AbortSignal | undefined };
  @Injectable()
  class Counter {
    @OnCommand(Count)
    async *count({ from, to }: Count, context: EventContext): AsyncGenerator<number> {
      told.signal = context.signal;
      try {
        for (let n = from; n < to; n++) {
          told.given++;
          yield n;
        }
      } finally {
        told.ended++;
      }
    }
  }
  return { told, Counter };
}

const numbers = (to: number, from = 0) => Array.from({ length: to - from }, (_, n) => from + n);

async function readAll<T>(values: AsyncIterable<T>, into: T[] = []): Promise<readonly T[]> {
  for await (const value of values) into.push(value);
  return into;
}

/** Answers that come in parts. */
export const STREAM_CASES: readonly ContractCase[] = [
  busCase('stream: every value of a handler, in order; nothing is left behind', async (bench) => {
    const { told, Counter } = counter();
    const { bus } = await bench.start({ providers: [Counter] });
    assert.deepEqual(await readAll(bus.requestStream(new Count(3_000))), numbers(3_000));
    assert.deepEqual(await readAll(bus.requestStream(new Count(0))), []);
    assert.deepEqual(await readAll(bus.requestStream(new Count(7), { window: 1 })), numbers(7));
    assert.deepEqual([told.ended, told.signal?.aborted, bus.stats().pendingRequests], [3, false, 0]);
  }),

  busCase('stream: two at one time are not mixed up', async (bench) => {
    const { Counter } = counter();
    const { bus } = await bench.start({ providers: [Counter] });
    const ranges = [0, 1_000, 2_000].map((from) => readAll(bus.requestStream(new Count(from + 300, from))));
    const expected = [0, 1_000, 2_000].map((from) => numbers(from + 300, from));
    assert.deepEqual(await Promise.all(ranges), expected);
  }),

  busCase('stream: the handler is no more than the window ahead of a slow reader', async (bench) => {
    const { told, Counter } = counter();
    const { bus } = await bench.start({ providers: [Counter] });
    const stream = bus.requestStream(new Count(1_000), { window: 10 });
    let taken = 0;
    for await (const n of stream) {
      assert.equal(n, taken++);
      if (taken % 25 === 0) await quiet(30); // in which it could run away
      assert.ok(told.given - taken <= 11, `${told.given} were given when ${taken} had been taken`);
      if (taken === 200) break;
    }
    await until('it has ended', () => told.ended === 1);
    assert.ok(told.given <= 211);
  }),

  busCase('stream: nothing is asked before the first value is; leaving the loop ends the handler', async (bench) => {
    const { told, Counter } = counter();
    const { bus } = await bench.start({ providers: [Counter] });
    bus.requestStream(new Count(10));
    await quiet();
    assert.deepEqual([told.given, bus.stats().pendingRequests], [0, 0]);
    for await (const n of bus.requestStream(new Count(1_000_000))) if (n === 2) break;
    await until('its finally has run', () => told.ended === 1);
    assert.deepEqual([told.signal?.aborted, bus.stats().pendingRequests], [true, 0]);
    assert.ok(told.signal?.reason instanceof RequestCancelledError);
  }),

  busCase('stream: a signal that aborts ends both sides', async (bench) => {
    const { told, Counter } = counter();
    const { bus } = await bench.start({ providers: [Counter] });
    const end = new AbortController();
    const seen: number[] = [];
    const reading = (async () => {
      for await (const n of bus.requestStream(new Count(1_000_000), { signal: end.signal })) {
        seen.push(n);
        if (n === 5) end.abort(new Error('enough'));
      }
    })();
    await assert.rejects(reading, /enough/);
    assert.deepEqual(seen, numbers(6));
    await until('its finally has run', () => told.ended === 1);
    await assert.rejects(readAll(bus.requestStream(new Count(1), { signal: end.signal })), /enough/);
  }),

  busCase(
    'stream: an error comes after the values before it; what was emitted is discarded, else published',
    async (bench) => {
      const emitted = new Log<unknown>('events');
      @Injectable()
      class Rows {
        @OnCommand('rows')
        async *rows(fails: boolean, context: EventContext): AsyncGenerator<number> {
          context.emit('rows.read', fails);
          yield* [1, 2, 3];
          if (fails) throw Object.assign(new Error('the disk is gone'), { code: 'DISK' });
        }
        @OnEvent('rows.read')
        onRead(payload: unknown): void {
          emitted.add(payload);
        }
      }
      const { bus } = await bench.start({ providers: [Rows] });
      const seen: unknown[] = [];
      const isDisk = (error: unknown) => error instanceof RemoteError && error.code === 'DISK';
      await assert.rejects(readAll(bus.requestStream('rows', true), seen), isDisk);
      assert.deepEqual(seen, [1, 2, 3]);
      assert.deepEqual(await readAll(bus.requestStream('rows', false)), [1, 2, 3]);
      assert.deepEqual(await emitted.settle(1), [false]);
    },
  ),

  busCase('stream: of a plain value that one, of none nothing; to nobody NoHandlerError', async (bench) => {
    @Injectable()
    class Plain {
      @OnCommand('one')
      one(): unknown {
        return { one: 1 };
      }
      @OnCommand('none')
      none(): void {}
      @OnCommand('fails')
      fails(): void {
        throw new Error('as asked');
      }
    }
    const { bus } = await bench.start({ providers: [Plain] });
    assert.deepEqual(await readAll(bus.requestStream('one')), [{ one: 1 }]);
    assert.deepEqual(await readAll(bus.requestStream('none')), []);
    await assert.rejects(readAll(bus.requestStream('fails')), /as asked/);
    await assert.rejects(readAll(bus.requestStream(`nobody.${bench.name}`)), NoHandlerError);
    assert.equal(bus.stats().pendingRequests, 0);
  }),

  busCase('stream: an Observable gives its values, and is unsubscribed by a reader that leaves', async (bench) => {
    let isLeft = false;
    @Injectable()
    class Ticks {
      @OnCommand('ticks')
      ticks(): unknown {
        return concat(of(1, 2, 3), NEVER).pipe(
          finalize(() => {
            isLeft = true;
          }),
        );
      }
      @OnCommand('single')
      single(): unknown {
        return of('one');
      }
    }
    const { bus } = await bench.start({ providers: [Ticks] });
    for await (const n of bus.requestStream<number>('ticks')) if (n === 3) break;
    await until('it is unsubscribed', () => isLeft);
    assert.deepEqual(await readAll(bus.requestStream('single')), ['one']);
  }),

  busCase('stream: one answer is its last value; who sends without waiting has it run to its end', async (bench) => {
    const { told, Counter } = counter();
    const seen = new Log<unknown>('events');
    @Injectable()
    class Listener {
      @OnEvent('orders.created')
      async *on(payload: unknown): AsyncGenerator<unknown> {
        yield payload;
        seen.add(payload);
      }
    }
    const { bus, statsOf, groupOf } = await bench.start({ providers: [Counter, Listener] });
    assert.equal(await bus.request(new Count(5)), 4);
    assert.equal(await bus.request(new Count(0)), undefined);
    await bus.send(new Count(3));
    await until('it has run', () => told.ended === 3);
    assert.equal(told.given, 8);
    await bus.publish('orders.created', 1);
    assert.deepEqual(await seen.reach(1), [1]);
    await until('it is settled', () => statsOf(groupOf(Listener, 'on')).handled === 1);
  }),

  busCase('stream: the time is for each value, not for all of them and not for the reader', async (bench) => {
    const told = { ended: 0 };
    @Injectable()
    class Slow {
      @OnCommand('slow')
      async *slow(pauses: readonly number[], { signal }: EventContext): AsyncGenerator<number> {
        try {
          for (const ms of pauses) {
            await quiet(ms);
            signal.throwIfAborted();
            yield ms;
          }
        } finally {
          told.ended++;
        }
      }
    }
    const { bus } = await bench.start({ providers: [Slow] });
    const pauses = [150, 150, 150, 150];
    assert.deepEqual(await readAll(bus.requestStream('slow', pauses, { timeoutMs: 400 })), pauses);
    const seen: unknown[] = [];
    await assert.rejects(
      readAll(bus.requestStream('slow', [0, 900, 0], { timeoutMs: 300 }), seen),
      RequestTimeoutError,
    );
    assert.deepEqual(seen, [0]);
    await until('both have ended', () => told.ended === 2);
    for await (const _ of bus.requestStream('slow', [0, 0, 0, 0], { timeoutMs: 200, window: 1 })) await quiet(300);
    await until('the last one too', () => told.ended === 3);
  }),

  busCase('stream: its handler is stopped when it runs too long, and the reader is told', async (bench) => {
    const told = { ended: 0 };
    @Injectable()
    class Endless {
      @OnCommand('endless', { timeoutMs: 400 })
      async *endless(): AsyncGenerator<number> {
        try {
          for (let n = 0; ; n++) {
            yield n;
            await quiet(20);
          }
        } finally {
          told.ended++;
        }
      }
    }
    const { bus } = await bench.start({ providers: [Endless] });
    const seen: unknown[] = [];
    const isTimeout = (error: unknown) => error instanceof EventBusError && error.code === 'HANDLER_TIMEOUT';
    await assert.rejects(readAll(bus.requestStream('endless'), seen), isTimeout);
    assert.ok(seen.length > 2);
    await until('it has ended', () => told.ended === 1);
  }),
];
