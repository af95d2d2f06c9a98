import 'reflect-metadata';
import { describe, expect, it } from '@jest/globals';
import { commandHandler } from '../../lib/testing/contract/commands.js';
import { Log } from '../../lib/testing/contract/log.js';
import { bounded, until } from '../../lib/testing/contract/until.js';
import type { FakeChannel } from './harness/fake-broker.channel.js';
import { type FakeLab, outcomeOf, range, storedEvent, warnings, withFakeBroker } from './harness/fake-broker.lab.js';
import type { FakeMessage } from './harness/fake-broker.queue.js';

const ADDRESS = 'amq.rabbitmq.reply-to.g1.somebody';

function request(n: number): FakeMessage {
  const event = storedEvent(n, 'events.command.work', '');
  const properties = { ...event.properties, type: 'work', replyTo: ADDRESS, correlationId: `r-${n}` };
  return { ...event, properties };
}

/** A service that echoes, and a broker that takes answers and keeps their confirms. */
async function echoing({ lab, broker }: FakeLab, publish: object = {}, concurrency = 10) {
  const seen = new Log<unknown>('requests');
  const unconfirmed: { readonly channel: FakeChannel; readonly tag: number }[] = [];
  const stop = broker.on('BasicPublish', ({ message, channel }) => {
    if (message?.routingKey !== ADDRESS) return false;
    unconfirmed.push({ channel, tag: channel.published });
    return true;
  });
  const work = (payload: unknown): unknown => {
    seen.add(payload);
    return payload;
  };
  const { app } = await lab.boot({
    options: { publish },
    providers: [commandHandler('work', work, { concurrency, prefetch: 50 })],
  });
  return {
    app,
    seen,
    ask: (n: number) => broker.store.queue(`${lab.exchange}.command.work`).push(request(n)),
    /** The answers that came, each as often as it came. */
    answers: () =>
      broker
        .got('BasicPublish')
        .flatMap(({ message }) => (message?.routingKey === ADDRESS ? [message.properties.correlationId] : [])),
    acks: () => broker.got('BasicAck').length,
    unconfirmed,
    confirm: () => {
      stop();
      for (const { channel, tag } of unconfirmed.splice(0)) channel.confirm(tag);
    },
  };
}

describe('answers', () => {
  it(
    'are handed over without waiting for their confirms, and sent again when their channel is lost',
    withFakeBroker(async (parts) => {
      const { ask, answers, acks, confirm, unconfirmed, seen } = await echoing(parts);
      for (const n of range(5)) ask(n);
      await until('all are acknowledged', () => acks() === 5);
      const ids = range(5).map((n) => `r-${n}`);
      expect([answers(), unconfirmed.length]).toEqual([ids, 5]);
      unconfirmed.splice(0);
      parts.broker.linkTo('publish').reset();
      await until('they have come again', () => answers().length === 10);
      expect(answers()).toEqual([...ids, ...ids]);
      confirm();
      await seen.settle(5); // nothing was handled again
    }),
  );

  it(
    'of a broker that blocks publishers wait with their requests: no more of these begin than may run at one time',
    withFakeBroker(async (parts) => {
      const { broker } = parts;
      const { ask, answers, acks, confirm, seen } = await echoing(parts, {}, 3);
      confirm();
      ask(0);
      await until('it is up', () => acks() === 1);
      const link = broker.linkTo('publish');
      link.block('low on memory');
      await until('it knows', () => warnings(parts.lab).some((line) => line.includes('blocks publishers')));
      for (const n of range(20)) ask(n + 1);
      expect(await seen.settle(4)).toEqual([0, 1, 2, 3]);
      expect([answers(), acks()]).toEqual([['r-0'], 1]);
      link.unblock();
      await until('all are acknowledged', () => acks() === 21);
      expect(answers()).toEqual(range(21).map((n) => `r-${n}`));
    }),
  );

  it(
    'beyond the window wait as well',
    withFakeBroker(async (parts) => {
      const { ask, answers, acks, confirm } = await echoing(parts, { window: 2 });
      for (const n of range(5)) ask(n);
      await until('two are acknowledged', () => acks() === 2);
      expect(answers()).toEqual(['r-0', 'r-1']);
      confirm();
      await until('all are acknowledged', () => acks() === 5);
      expect(answers()).toEqual(range(5).map((n) => `r-${n}`));
    }),
  );

  it(
    'that are never confirmed are told of, each once',
    withFakeBroker(async (parts) => {
      const { ask, acks } = await echoing(parts, { timeoutMs: 300 });
      for (const n of range(2)) ask(n);
      const told = (): readonly string[] => warnings(parts.lab).filter((line) => line.includes('may not have arrived'));
      await until('it is told', () => told().length === 2);
      expect(told()).toEqual(
        range(2).map((n) =>
          expect.stringContaining(`The answer "work.reply" to r-${n} may not have arrived (PUBLISH_TIMEOUT)`),
        ),
      );
      expect(acks()).toBe(2);
      expect(told().join()).not.toContain(ADDRESS);
    }),
  );

  it(
    'are waited for when the application closes',
    withFakeBroker(async (parts) => {
      const { ask, acks, app, confirm } = await echoing(parts);
      ask(0);
      await until('it is acknowledged', () => acks() === 1);
      let isClosed = false;
      const closing = outcomeOf(app.close()).finally(() => {
        isClosed = true;
      });
      await until('nothing is consumed any more', () => parts.broker.got('BasicCancel').length > 0);
      await new Promise((resolve) => setTimeout(resolve, 300));
      expect(isClosed).toBe(false);
      confirm();
      expect((await bounded(closing, 2_000, 'the close')).error).toBeUndefined();
    }),
  );
});
