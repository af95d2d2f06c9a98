import assert from 'node:assert/strict';
import { Command } from '../../bus/command-definition.js';
import { ConfigurationError, RemoteError } from '../../core/errors.js';
import { Event } from '../../decorators/event.decorator.js';
import type { OutgoingCommand } from '../../rpc/command-options.js';
import { commandHandler, rejection, untilAborted } from './commands.js';
import type { ContractCase } from './contract.js';
import { busCase } from './contract-case.js';
import { Log } from './log.js';
import { quiet } from './until.js';

@Event('double')
class Double extends Command<number> {
  constructor(readonly n: number) {
    super();
  }
}

function statesOf(results: readonly PromiseSettledResult<unknown>[]): readonly unknown[] {
  return results.map((result) => (result.status === 'fulfilled' ? result.value : (result.reason as Error).name));
}

const double = commandHandler('double', async (payload) => {
  const { n } = payload as Double;
  if (n % 5 === 4) throw Object.assign(new Error('as asked'), { name: 'Odd' });
  await quiet(n % 3);
  return 2 * n;
});

/** Many answers at a time. */
export const COMMAND_MANY_CASES: readonly ContractCase[] = [
  busCase('commands: requestAll keeps positions, and one that fails stops nothing', async (bench) => {
    const { bus } = await bench.start({ providers: [double] });
    const commands = Array.from({ length: 40 }, (_, n) => new Double(n));
    const results = await bus.requestAll(commands, { concurrency: 7 });
    assert.deepEqual(
      statesOf(results),
      commands.map(({ n }) => (n % 5 === 4 ? 'Odd' : 2 * n)),
    );
    const [, , , , failed] = results;
    assert.ok(failed?.status === 'rejected' && failed.reason instanceof RemoteError);
    assert.deepEqual(await bus.requestAll([]), []);
    assert.equal(bus.stats().pendingRequests, 0);
  }),

  busCase(
    'commands: requestAll takes every form of a command, and what is none rejects at its place',
    async (bench) => {
      const { bus } = await bench.start({ providers: [double] });
      const wrong = [null, undefined, 7, 'double', {}, new Date()] as unknown as readonly OutgoingCommand[];
      const right: readonly OutgoingCommand[] = [
        new Double(1),
        { command: 'double', payload: { n: 2 } },
        { command: Double, payload: { n: 3 }, options: { timeoutMs: 5_000 } },
        { command: 'nobody.there' },
      ];
      const results = await bus.requestAll([...wrong, ...right], { timeoutMs: 5_000 });
      for (const result of results.slice(0, wrong.length))
        assert.ok(result.status === 'rejected' && result.reason instanceof ConfigurationError);
      assert.deepEqual(statesOf(results.slice(wrong.length)), [2, 4, 6, 'NoHandlerError']);
    },
  ),

  busCase('commands: requestAll asks no more than its concurrency at a time, and takes no more', async (bench) => {
    let running = 0;
    let most = 0;
    let taken = 0;
    let ended = 0;
    const handler = commandHandler(
      'work',
      async () => {
        most = Math.max(most, ++running);
        await quiet(2);
        running--;
        ended++;
      },
      { concurrency: 50 },
    );
    const { bus } = await bench.start({ providers: [handler] });
    async function* commands(): AsyncGenerator<OutgoingCommand> {
      for (let n = 0; n < 30; n++) {
        taken++;
        assert.ok(taken - ended <= 4, `${taken} taken when ${ended} had ended`);
        yield { command: 'work', payload: n };
      }
    }
    const results = await bus.requestAll(commands(), { concurrency: 3 });
    assert.equal(results.length, 30);
    assert.ok(results.every(({ status }) => status === 'fulfilled'));
    assert.ok(most <= 3, `${most} at a time`);
  }),

  busCase('commands: requestAll that is aborted ends at once, takes no more and closes the sequence', async (bench) => {
    const seen = new Log<unknown>('payloads');
    const handler = commandHandler('work', async (payload, { signal }) => {
      seen.add(payload);
      await untilAborted(signal);
    });
    const { bus } = await bench.start({ providers: [handler] });
    const end = new AbortController();
    let isClosed = false;
    async function* commands(): AsyncGenerator<OutgoingCommand> {
      try {
        for (let n = 0; n < 1_000; n++) yield { command: 'work', payload: n };
      } finally {
        isClosed = true;
      }
    }
    const all = bus.requestAll(commands(), { concurrency: 4, signal: end.signal });
    await seen.reach(4);
    end.abort(new Error('not any more'));
    const results = await all;
    assert.equal(results.length, 4);
    for (const result of results) assert.ok(result.status === 'rejected' && result.reason === end.signal.reason);
    assert.deepEqual([isClosed, bus.stats().pendingRequests], [true, 0]);
    await seen.settle(4);
  }),

  busCase('commands: requestAll rejects when its options are wrong or the sequence fails', async (bench) => {
    const { bus } = await bench.start({ providers: [double] });
    for (const options of [{ concurrency: 0 }, { concurrency: 1.5 }, { nonsense: 1 }] as object[])
      assert.ok((await rejection(bus.requestAll([new Double(1)], options))) instanceof ConfigurationError);
    const broken = new Error('the source broke');
    async function* commands(): AsyncGenerator<Double> {
      yield new Double(1);
      throw broken;
    }
    assert.equal(await rejection(bus.requestAll(commands())), broken);
    assert.equal(bus.stats().pendingRequests, 0);
  }),

  busCase('commands: 500 at a time, and no answer is that of another', async (bench) => {
    const echo = commandHandler('echo', async (payload) => {
      await quiet(Number(payload) % 5);
      return payload;
    });
    const { bus } = await bench.start({ providers: [echo], options: { consume: { maxConcurrency: 500 } } });
    const all = Array.from({ length: 500 }, (_, n) => n);
    assert.deepEqual(await Promise.all(all.map((n) => bus.request('echo', n))), all);
  }),
];
