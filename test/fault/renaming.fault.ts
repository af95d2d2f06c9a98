import { describe, expect, it } from '@jest/globals';
import { Injectable } from '@nestjs/common';
import { connect } from 'amqplib';
import { DeadLetterError, type EventContext, fixed, OnEvent, type OnEventOptions } from '../../lib/index.js';
import { quiet, until } from '../../lib/testing/contract/until.js';
import { RabbitMqConnection } from '../../lib/transports/rabbitmq/rabbitmq.connection.js';
import { resolveRabbitMqOptions } from '../../lib/transports/rabbitmq/rabbitmq.options.js';
import { RabbitMqTransport } from '../../lib/transports/rabbitmq/rabbitmq.transport.js';
import { isReachable, RABBITMQ } from '../support/brokers.js';
import { type Lab, withLab } from '../support/lab.js';
import { byHand } from './harness/by-hand.js';

/** A version whose handler fails as the payload says. */
function version(options: OnEventOptions): { type: new () => object; seen: string[] } {
  const seen: string[] = [];
  @Injectable()
  class Listener {
    @OnEvent('a.*', options)
    on({ id, fail }: { id: string; fail?: 'first' | 'always' }, { attempt }: EventContext): void {
      seen.push(`${id} ${attempt}`);
      if (fail === 'always') throw new DeadLetterError('on purpose');
      if (fail === 'first' && attempt === 1) throw new Error('on purpose');
    }
  }
  return { type: Listener, seen };
}

/** As the service's own transport, but for the time that an unused queue is kept. */
function impatient(lab: Lab): RabbitMqTransport {
  const options = resolveRabbitMqOptions({ type: 'rabbitmq', url: RABBITMQ.url });
  const connection = new RabbitMqConnection(options, lab.service, lab.logger);
  const buffer = { messages: 100, bytes: 1_000_000, onFull: 'reject' } as const;
  const settings = { timeoutMs: 5_000, window: 100, declare: 'assert', unusedMs: UNUSED_MS, ...buffer } as const;
  return new RabbitMqTransport(connection, settings, lab.logger);
}

const UNUSED_MS = 3_000;

const described = (await isReachable(RABBITMQ)) ? describe : describe.skip;

described('A group that was renamed', () => {
  it(
    'hands over what waits, what is retried and what is dead, and its queues go when nobody uses them any more',
    withLab(RABBITMQ.url, async (lab) => {
      const old = lab.willRemoveGroup(`${lab.name}.old`);
      const group = lab.willRemoveGroup(`${lab.name}.new`);
      const before = version({ group: old, retry: fixed({ attempts: 2, delayMs: 4_000 }) });
      const first = await lab.boot({ providers: [before.type] });
      await first.bus.publish('a.1', { id: 'dead', fail: 'always' });
      await first.bus.publish('a.1', { id: 'retried', fail: 'first' });
      await until('one is dead and one waits for its retry', async () => {
        const [dead, retry] = await Promise.all([`${old}.dlq`, `${old}.retry.4000`].map((queue) => depth(queue)));
        return dead === 1 && retry === 1;
      });
      await first.app.close();
      const publisher = await lab.boot();
      await publisher.bus.publish('a.1', { id: 'waiting', fail: 'first' });
      expect(await depth(old)).toBe(1);

      const after = version({ group, renamedFrom: old, retry: fixed({ attempts: 2, delayMs: 20 }) });
      const { deadLetters } = await lab.boot({ providers: [after.type], options: { transport: impatient(lab) } });
      await until('both are handled', () => after.seen.length === 3, 10_000);
      expect(after.seen).toEqual(['waiting 1', 'waiting 2', 'retried 2']);
      // its second attempt came by the retry queue of the new group
      expect(await depth(`${group}.retry.20`)).toBe(0);
      expect(await depth(`${old}.retry.20`)).toBeUndefined();

      const queues = [old, `${old}.dlq`, `${old}.retry.4000`];
      const areGone = async (): Promise<boolean> =>
        (await Promise.all(queues.map(depth))).every((n) => n === undefined);
      await until('the old queues are gone', areGone, 60_000);
      expect(await deadLetters.list(group)).toMatchObject([
        {
          id: expect.any(String),
          topic: 'a.1',
          group,
          reason: 'not-retryable',
          attempts: 1,
          error: { message: 'on purpose' },
        },
      ]);
      expect(lab.lines.filter((line) => /removed|handles what/.test(line))).toHaveLength(2);
    }),
    90_000,
  );

  it(
    'leaves alone what has the name of its dead letters and was not made here, and loses none of very many dead letters',
    withLab(RABBITMQ.url, async (lab) => {
      const foreign = lab.willRemoveGroup(`${lab.name}.foreign`);
      const old = lab.willRemoveGroup(`${lab.name}.old`);
      const group = lab.willRemoveGroup(`${lab.name}.new`);
      const letters = 10_050;
      await byHand(RABBITMQ.url, async (channel) => {
        await channel.assertQueue(foreign, { durable: true });
        await channel.assertQueue(`${foreign}.dlq`, { durable: true });
        channel.sendToQueue(`${foreign}.dlq`, Buffer.from('"theirs"'));
        await channel.checkQueue(foreign); // the broker has worked it off when it answers
      });
      const first = await lab.boot({ providers: [version({ group: old }).type] });
      await first.app.close();
      await byHand(RABBITMQ.url, async (channel) => {
        for (let n = 0; n < letters; n++) channel.sendToQueue(`${old}.dlq`, Buffer.from('{}'), { persistent: true });
        await channel.checkQueue(`${old}.dlq`);
      });
      const after = version({ group, renamedFrom: [foreign, old] });
      const { deadLetters } = await lab.boot({ providers: [after.type], options: { transport: impatient(lab) } });
      await until('both queues are gone', async () => !(await depth(foreign)) && !(await depth(old)), 60_000);
      await until('the dead letters are moved', async () => (await depth(`${old}.dlq`)) === undefined, 60_000);
      expect(await depth(foreign)).toBeUndefined();
      expect(await depth(`${foreign}.dlq`)).toBe(1);
      expect(await deadLetters.count(group)).toBe(letters);
      expect(after.seen).toEqual([]);
    }),
    150_000,
  );

  it(
    'keeps its old queue while a process of the version before consumes it',
    withLab(RABBITMQ.url, async (lab) => {
      const old = lab.willRemoveGroup(`${lab.name}.old`);
      const group = lab.willRemoveGroup(`${lab.name}.new`);
      const before = version({ group: old });
      const after = version({ group, renamedFrom: old });
      const first = await lab.boot({ providers: [before.type] });
      const second = await lab.boot({ providers: [after.type], options: { transport: impatient(lab) } });
      const seen = (id: string): number => [...before.seen, ...after.seen].filter((one) => one === `${id} 1`).length;
      let n = 0;
      await until('the old queue is unbound', async () => {
        const id = `n${++n}`;
        await second.bus.publish('a.1', { id });
        await until('the new group handles it', () => after.seen.includes(`${id} 1`));
        return seen(id) === 1;
      });
      // longer than an unused one is kept
      await quiet(3 * UNUSED_MS);
      expect(await depth(old)).toBe(0);
      await first.app.close();
      await until('it is gone', async () => (await depth(old)) === undefined, 60_000);
    }),
    120_000,
  );
});

async function depth(queue: string): Promise<number | undefined> {
  const connection = await connect(RABBITMQ.url);
  try {
    const channel = await connection.createChannel();
    channel.on('error', () => undefined);
    return (await channel.checkQueue(queue)).messageCount;
  } catch {
    return undefined;
  } finally {
    await connection.close();
  }
}
