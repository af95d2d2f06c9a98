import 'reflect-metadata';
import { expect, it } from '@jest/globals';
import { ConnectionError, type EventContext } from '../../lib/index.js';
import { commandHandler, rejection, untilAborted } from '../../lib/testing/contract/commands.js';
import { Log } from '../../lib/testing/contract/log.js';
import { until } from '../../lib/testing/contract/until.js';
import { outcomeOf, range } from './harness/fake-broker.lab.js';
import { OwnBroker } from './harness/own-broker.js';
import { Program } from './harness/program.js';

const own = new OwnBroker();
/** By when whoever asked knows that its connection is lost. */
const TOLD_MS = 3_000;
const BACK_MS = 20_000;

/** A bus that asks, and one that echoes, of another service. By the door goes who asks, unless it is said otherwise. */
async function echoing(
  work: (payload: unknown, context: EventContext) => unknown = (payload) => payload,
  byDoor: 'asks' | 'answers' = 'asks',
) {
  const { lab, door, node } = own;
  const server = await lab.boot({
    providers: [commandHandler('work', work, { concurrency: 100, prefetch: 500 })],
    options: { transport: byDoor === 'answers' ? door.url() : node.url() },
  });
  lab.willRemoveGroup(`${lab.exchange}.command.work`);
  const client = await lab.boot({
    options: { transport: byDoor === 'asks' ? door.url() : node.url(), service: `${lab.service}.api` },
  });
  return { server, client };
}

own.suite('requests', () => {
  it('1,000 whose confirms may come after their answers are all answered', async () => {
    const { client } = await echoing();
    const answers = await Promise.all(range(1_000).map((n) => client.bus.request('work', n)));
    expect(answers).toEqual(range(1_000));
    expect(client.bus.stats().pendingRequests).toBe(0);
  }, 60_000);

  it('10,000, 500 at a time: none is lost, and none has the answer of another', async () => {
    const { client } = await echoing();
    const count = 10_000;
    const commands = range(count).map((n) => ({ command: 'work', payload: { n } }));
    const results = await client.bus.requestAll<{ n: number }>(commands, { concurrency: 500, timeoutMs: 60_000 });
    const wrong = results.filter((one, n) => one.status === 'rejected' || one.value.n !== n);
    expect([results.length, wrong.slice(0, 3)]).toEqual([count, []]);
    expect(client.bus.stats().pendingRequests).toBe(0);
  }, 120_000);

  it('the connection of who asks is cut: a ConnectionError at once, and later requests work', async () => {
    const begun = new Log<unknown>('payloads');
    let open: () => void = () => undefined;
    const gate = new Promise<void>((resolve) => {
      open = resolve;
    });
    const { client } = await echoing(async (payload) => {
      begun.add(payload);
      if (payload === 'cut') await gate;
      return payload;
    });
    expect(await client.bus.request('work', 'first')).toBe('first');
    const settled: string[] = [];
    const answer = client.bus.request('work', 'cut', { timeoutMs: 60_000 });
    answer.then(
      () => settled.push('resolved'),
      () => settled.push('rejected'),
    );
    const outcome = outcomeOf(answer);
    await begun.reach(2);
    const at = Date.now();
    expect(own.door.cut()).toBeGreaterThan(0);
    const { error } = await outcome;
    expect(Date.now() - at).toBeLessThan(TOLD_MS);
    expect(error).toBeInstanceOf(ConnectionError);
    const next = client.bus.request('work', 'next', { timeoutMs: BACK_MS });
    open(); // its answer has no way back any more
    expect(await next).toBe('next');
    expect([settled, client.bus.stats().pendingRequests]).toEqual([['rejected'], 0]);
    await begun.settle(3);
  }, 60_000);

  it('the connections of who answers are cut again and again: every request is answered, whatever was on its way', async () => {
    let begun = 0;
    let redelivered = 0;
    const { client, server } = await echoing((payload, context) => {
      begun++;
      if (context.redelivered) redelivered++;
      return payload;
    }, 'answers');
    expect(await client.bus.request('work', 'first')).toBe('first');
    const count = 6_000;
    const commands = range(count).map((n) => ({ command: 'work', payload: { n } }));
    const asking = client.bus.requestAll<{ n: number }>(commands, { concurrency: 300, timeoutMs: 60_000 });
    for (const part of [1, 2, 3, 4]) {
      await until('it is at work', () => begun > (part * count) / 6, BACK_MS);
      expect(own.door.cut()).toBeGreaterThan(0);
      await until('it is back', () => server.bus.status === 'up', BACK_MS);
    }
    const results = await asking;
    const wrong = results.filter((one, n) => one.status === 'rejected' || one.value.n !== n);
    expect([results.length, wrong.slice(0, 3)]).toEqual([count, []]);
    expect(redelivered).toBeGreaterThan(0); // the cuts have hit
    expect(client.bus.stats().pendingRequests).toBe(0);
  }, 120_000);

  it('who asks is away: what is given up meanwhile is never sent, what is not is answered later', async () => {
    const seen = new Log<unknown>('payloads');
    const { client } = await echoing((payload) => {
      seen.add(payload);
      return payload;
    });
    expect(await client.bus.request('work', 'first')).toBe('first');
    await own.door.turn('closed');
    await until('it knows', () => client.bus.status === 'down');
    const end = new AbortController();
    const waiting = client.bus.request('work', 'kept', { timeoutMs: BACK_MS });
    const aborted = rejection(client.bus.request('work', 'aborted', { timeoutMs: BACK_MS, signal: end.signal }));
    const late = rejection(client.bus.request('work', 'late', { timeoutMs: 100 }));
    end.abort(new Error('not any more'));
    expect(await aborted).toBe(end.signal.reason);
    expect(await late).toMatchObject({ code: 'REQUEST_TIMEOUT' });
    await own.door.turn('forward');
    expect(await waiting).toBe('kept');
    expect(await client.bus.request('work', 'next')).toBe('next');
    expect((await seen.settle(3)).map(String).toSorted()).toEqual(['first', 'kept', 'next']);
    expect(client.bus.stats().pendingRequests).toBe(0);
  }, 60_000);

  it('the broker is killed: what was asked rejects at once, and when it is back all goes on', async () => {
    const begun = new Log<unknown>('payloads');
    const { client, server } = await echoing(async (payload) => {
      begun.add(payload);
      if (payload === 'lost') await new Promise((resolve) => setTimeout(resolve, 500).unref());
      return payload;
    });
    expect(await client.bus.request('work', 'first')).toBe('first');
    await own.node.settleQueues();
    const answer = rejection(client.bus.request('work', 'lost', { timeoutMs: 60_000 }));
    await begun.reach(2);
    const at = Date.now();
    await own.node.kill();
    expect(await answer).toBeInstanceOf(ConnectionError);
    expect(Date.now() - at).toBeLessThan(TOLD_MS);
    await own.node.restart();
    for (const { bus } of [client, server]) await until('it is connected', () => bus.status === 'up', BACK_MS);
    expect(await client.bus.request('work', 'again', { timeoutMs: BACK_MS })).toBe('again');
    expect(client.bus.stats().pendingRequests).toBe(0);
  }, 120_000);

  it('the process that handles one is killed: another one answers, and whoever asked is answered once', async () => {
    const { lab, node } = own;
    lab.willRemoveGroup(`${lab.exchange}.command.work`);
    const program = Program.start('answerer', { url: node.url(), exchange: lab.exchange, ledger: '', group: '' });
    try {
      await program.ready;
      const client = await lab.boot({ options: { transport: node.url(), service: `${lab.service}.api` } });
      const begun = program.next('begun', 10_000);
      const answer = client.bus.request('work', 'kept', { timeoutMs: 30_000 });
      expect(await begun).toMatchObject({ payload: 'kept' });
      await program.kill();
      const seen = new Log<unknown>('payloads');
      await lab.boot({
        providers: [
          commandHandler('work', (payload, { redelivered }) => {
            seen.add(payload);
            return [payload, redelivered];
          }),
        ],
        options: { transport: node.url() },
      });
      expect(await answer).toEqual(['kept', true]);
      await seen.settle(1);
      expect(client.bus.stats().pendingRequests).toBe(0);
    } finally {
      if (program.isRunning) await program.kill();
    }
  }, 60_000);

  it('whoever handles one loses its connection, and there is no other: the request times out and is not started again', async () => {
    const { lab, node } = own;
    lab.willRemoveGroup(`${lab.exchange}.command.work`);
    const seen = new Log<unknown>('payloads');
    const server = await lab.boot({
      providers: [
        commandHandler('work', async (payload, { signal }) => {
          seen.add(payload);
          await untilAborted(signal);
        }),
      ],
      options: { transport: own.door.url() },
    });
    const client = await lab.boot({ options: { transport: node.url(), service: `${lab.service}.api` } });
    const answer = rejection(client.bus.request('work', 1, { timeoutMs: 1_500 }));
    await seen.reach(1);
    await own.door.turn('closed');
    expect(await answer).toMatchObject({ code: 'REQUEST_TIMEOUT' });
    // it comes again, and is not started: its time is over
    await own.door.turn('forward');
    await until('it is connected', () => server.bus.status === 'up', BACK_MS);
    expect(await client.bus.request('work', 2, { timeoutMs: 200 }).catch(() => 'ended')).toBe('ended');
    expect(seen.items).toEqual([1, 2]);
  }, 60_000);
});
