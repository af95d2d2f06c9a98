import assert from 'node:assert/strict';
import { ACK } from '../../core/delivery.js';
import { PublishTimeoutError } from '../../core/errors.js';
import type { ContractCase } from './contract.js';
import { transportCase } from './contract-case.js';
import { listen } from './listener.js';
import { Log } from './log.js';
import { createMessage, createMessages, idsOf, toComparable } from './message.factory.js';
import { quiet } from './until.js';

const SHORT_MS = 150;
/** How a transport puts it that can tell why nobody got a message. */
const NO_ROUTE = { code: 312, text: 'NO_ROUTE' };

/** Where a publish goes, what its promise says, and when it ends. */
export const PUBLISH_CASES: readonly ContractCase[] = [
  transportCase('what no group asks for resolves as not routed', async (bench) => {
    const source = bench.shared('group', { bindings: bench.bind('only.this') });
    const transport = await bench.open(source);
    const { deliveries } = await listen(transport, source);
    const { routed, returned = NO_ROUTE } = await bench.publish(transport, createMessage('something.else'));
    if (transport.capabilities.unroutable)
      assert.deepEqual({ routed, returned }, { routed: false, returned: NO_ROUTE });
    assert.deepEqual(await bench.publish(transport, createMessage('only.this')), { routed: true });
    await deliveries.settle(1);
  }),

  transportCase('routed or not is told right when both are published at once', async (bench) => {
    const transport = await bench.open(bench.shared('group', { bindings: bench.bind('yes.#') }));
    const topics = Array.from({ length: 60 }, (_, i) => `${i % 3 === 0 ? 'no' : 'yes'}.${i}`);
    const answers = await Promise.all(topics.map((topic) => bench.publish(transport, createMessage(topic))));
    if (!transport.capabilities.unroutable) return;
    assert.deepEqual(
      answers.map(({ routed }) => routed),
      topics.map((topic) => topic.startsWith('yes')),
    );
  }),

  transportCase('a publish to a group reaches that group only, whatever it is bound to', async (bench) => {
    const [one, two] = [bench.shared('one', { bindings: bench.bind('nothing') }), bench.shared('two')];
    const transport = await bench.open(one, two);
    const [mine, other] = await Promise.all([listen(transport, one), listen(transport, two)]);
    const message = createMessage('unbound.topic', { headers: { n: 1 } });
    const answer = await transport.publish({ kind: 'group', group: bench.group('one') }, message);
    assert.deepEqual(answer, { routed: true });
    await mine.deliveries.settle(1);
    assert.deepEqual(mine.messages.map(toComparable), [toComparable(message)]);
    assert.equal(other.deliveries.length, 0);
  }),

  transportCase('a publish to a group that does not exist resolves as not routed and hurts nobody', async (bench) => {
    const source = bench.shared();
    const transport = await bench.open(source);
    const { deliveries } = await listen(transport, source);
    const missing = transport.publish({ kind: 'group', group: bench.group('missing') }, createMessage('lost'));
    const alive = bench.publish(transport, createMessage('alive'));
    const { routed } = await missing;
    if (transport.capabilities.unroutable) assert.equal(routed, false);
    assert.deepEqual(await alive, { routed: true });
    await deliveries.settle(1);
  }),

  transportCase('a publish before connect waits and goes out in its order when connected', async (bench) => {
    const source = bench.shared();
    const transport = await bench.create();
    const sent = createMessages(10);
    const published = bench.publishAll(transport, sent);
    await transport.connect({ exchanges: [bench.exchange], sources: [source] });
    assert.deepEqual(new Set((await published).map(({ routed }) => routed)), new Set([true]));
    const { deliveries, messages } = await listen(transport, source);
    await deliveries.settle(10);
    assert.deepEqual(idsOf(messages), idsOf(sent));
  }),

  transportCase(
    'a publish that cannot be sent in its time rejects PublishTimeoutError, and is not sent later',
    async (bench) => {
      const source = bench.shared();
      const transport = await bench.create();
      const target = { kind: 'exchange', exchange: bench.exchange } as const;
      const started = Date.now();
      const late = transport.publish(target, createMessage('late'), { timeoutMs: SHORT_MS });
      await assert.rejects(late, (error) => error instanceof PublishTimeoutError && !error.sent && error.retryable);
      assert.ok(Date.now() - started < 10 * SHORT_MS, 'the timeout was kept');
      await transport.connect({ exchanges: [bench.exchange], sources: [source] });
      const { deliveries } = await listen(transport, source);
      await bench.publish(transport, createMessage('in time'));
      await deliveries.settle(1);
      assert.deepEqual(
        deliveries.items.map(({ message }) => message.topic),
        ['in time'],
      );
    },
  ),

  transportCase('an aborted publish rejects with the reason of its signal', async (bench) => {
    const transport = await bench.create();
    const target = { kind: 'exchange', exchange: bench.exchange } as const;
    const reason = new Error('not wanted any more');
    const isReason = (error: unknown): boolean => error === reason;
    const before = transport.publish(target, createMessage('a'), { signal: AbortSignal.abort(reason) });
    await assert.rejects(before, isReason);
    const controller = new AbortController();
    const waiting = transport.publish(target, createMessage('b'), { signal: controller.signal });
    controller.abort(reason);
    await assert.rejects(waiting, isReason);
  }),

  transportCase('a reply finds the way back to the one who asked, with its correlation id', async (bench) => {
    const source = bench.shared('answers');
    const transport = await bench.open(source);
    await listen(transport, source, async ({ message }) => {
      const { replyTo: address = '', correlationId = '' } = message;
      const reply = createMessage('reply', { correlationId, body: Buffer.from(`to ${message.topic}`) });
      await transport.publish({ kind: 'reply', address }, reply);
      return ACK;
    });
    const replies = new Log<string>('replies');
    const path = await transport.openReplies(({ correlationId, body }) => {
      replies.add(`${correlationId}: ${Buffer.from(body).toString()}`);
    });
    assert.notEqual(path.address, '');
    const ask = (n: number): Promise<unknown> =>
      path.publish(
        { kind: 'group', group: bench.group('answers') },
        createMessage(`question.${n}`, { replyTo: path.address, correlationId: `id-${n}` }),
      );
    await Promise.all([1, 2, 3].map(ask));
    const expected = [1, 2, 3].map((n) => `id-${n}: to question.${n}`);
    assert.deepEqual((await replies.settle(3)).toSorted(), expected);
    await path.close();
  }),

  transportCase('a reply to somebody who has gone ends in bounded time and reaches nobody', async (bench) => {
    const source = bench.shared('answers');
    const transport = await bench.open(source);
    const replies = new Log<string>('replies');
    const { deliveries } = await listen(transport, source);
    const path = await transport.openReplies(({ topic }) => replies.add(topic));
    const request = createMessage('question', { replyTo: path.address, correlationId: 'id' });
    await path.publish({ kind: 'group', group: bench.group('answers') }, request);
    const [question] = await deliveries.reach(1);
    await path.close();
    const address = question?.message.replyTo ?? '';
    const answered = transport.publish({ kind: 'reply', address }, createMessage('answer'), { timeoutMs: 2_000 });
    await answered.catch((error: unknown) => assert.ok(error instanceof Error));
    await quiet();
    assert.deepEqual(replies.items, []);
    assert.deepEqual(await bench.publish(transport, createMessage('still.works')), { routed: true });
  }),

  transportCase('the connection tells its states, and neither it nor describe() tells a secret', async (bench) => {
    const transport = await bench.create();
    const { connection } = transport;
    const states: string[] = [];
    const ignored: string[] = [];
    assert.equal(connection.state, 'idle');
    const stop = connection.onStateChange((state) => ignored.push(state));
    stop();
    connection.onStateChange((state) => states.push(state));
    await transport.connect({ exchanges: [bench.exchange], sources: [] });
    assert.equal(connection.state, 'up');
    assert.equal(states.at(-1), 'up');
    const said = `${connection.endpoint} ${JSON.stringify(transport.describe())}`;
    assert.doesNotMatch(said, /:[^/@\s]*@|password/i);
    await transport.close();
    assert.equal(connection.state, 'closed');
    assert.equal(states.at(-1), 'closed');
    assert.deepEqual(ignored, []);
  }),
];
