import { randomUUID } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { type ChannelModel, connect } from 'amqplib';
import type { Binding } from '../../lib/core/exchange.js';
import { TopicExchange } from '../../lib/exchanges/topic.exchange.js';
import { bounded, until } from '../../lib/testing/contract/until.js';
import { DEAD_LETTER_ARGUMENTS } from '../../lib/transports/rabbitmq/rabbitmq.group-queues.js';
import {
  type Drain,
  RabbitMqSuccession,
  type SuccessionParts,
} from '../../lib/transports/rabbitmq/rabbitmq.succession.js';
import { isReachable, RABBITMQ } from '../support/brokers.js';
import { byHand, waitingIn } from './harness/by-hand.js';

const described = (await isReachable(RABBITMQ)) ? describe : describe.skip;

/** Takes everything, and handles nothing until the test says so. */
class FakeDrain implements Drain {
  state: Drain['state'] = 'running';
  isIdle = true;
  readonly calls: string[] = [];

  async pause(): Promise<void> {
    this.calls.push('pause');
  }

  async resume(): Promise<void> {
    this.calls.push('resume');
  }

  async close(): Promise<void> {
    this.calls.push('close');
    this.state = 'closed';
  }
}

described('Succession to a queue', () => {
  let connection: ChannelModel;
  let name: string;
  let old: string;
  let running: RabbitMqSuccession | undefined;
  const logged: string[] = [];
  const logger = {
    log: () => undefined,
    warn: (text: unknown) => void logged.push(String(text)),
    error: () => undefined,
  };

  beforeEach(async () => {
    connection = await connect(RABBITMQ.url);
    name = `succession-${randomUUID().slice(0, 8)}`;
    old = `${name}.old`;
    logged.length = 0;
    await byHand(RABBITMQ.url, async (channel) => {
      await channel.assertExchange(`${name}.events`, 'topic', { durable: true });
      await channel.assertQueue(old, { durable: true });
      await channel.assertQueue(`${old}.dlq`, { durable: true, arguments: DEAD_LETTER_ARGUMENTS });
    });
  });

  afterEach(async () => {
    await running?.close({ deadlineMs: 0 });
    running = undefined;
    await connection.close();
    await byHand(RABBITMQ.url, async (channel) => {
      await channel.deleteExchange(`${name}.events`);
      for (const queue of [old, `${old}.dlq`, `${name}.first.retry.777.to.${old}`]) await channel.deleteQueue(queue);
    });
  });

  function succeed(
    parts: Partial<SuccessionParts> = {},
    groups: readonly [string, ...string[]] = [`${name}.new`, old],
  ): RabbitMqSuccession {
    const bindings: readonly Binding[] = [
      { exchange: { name: `${name}.events`, handler: new TopicExchange() }, pattern: 'a.*' },
    ];
    const all: SuccessionParts = {
      link: { connection } as SuccessionParts['link'],
      logger,
      drain: async () => new FakeDrain(),
      record: { isRead: true, find: () => undefined },
      unusedMs: 0,
      isByHand: false,
      moveDeadLetters: async () => 0,
      ...parts,
    };
    running = new RabbitMqSuccession(all, groups, old, bindings);
    running.start();
    return running;
  }

  const isGone = async (queue: string): Promise<boolean> =>
    waitingIn(RABBITMQ.url, queue).then(
      () => false,
      () => true,
    );

  it('keeps a queue to which something came while its dead letters were moved', async () => {
    let moves = 0;
    const drains: FakeDrain[] = [];
    const moveDeadLetters = async (): Promise<number> => {
      if (moves++ === 0) {
        await byHand(RABBITMQ.url, async (channel) => {
          channel.sendToQueue(old, Buffer.from('{}'));
          await channel.checkQueue(old);
        });
      }
      return 0;
    };
    const drain = async (): Promise<Drain> => {
      drains.push(new FakeDrain());
      return drains[0] as Drain;
    };
    succeed({ moveDeadLetters, drain });
    await until('it drains what came', () => drains.length > 0);
    expect(await waitingIn(RABBITMQ.url, old)).toBe(1);
    await byHand(RABBITMQ.url, (channel) => channel.purgeQueue(old));
    await until('it is gone', () => isGone(old));
    expect(logged).toEqual([]);
  });

  it('keeps a queue to which retries lead of a group that had another name than its queue', async () => {
    const first = `${name}.first`;
    const retry = `${first}.retry.777.to.${old}`;
    await byHand(RABBITMQ.url, async (channel) => {
      await channel.assertQueue(retry, { durable: true });
      channel.sendToQueue(retry, Buffer.from('{}'));
      await channel.checkQueue(retry);
    });
    const asked: string[] = [];
    const find = (group: string) => {
      asked.push(group);
      return group === old ? { name: group, bindings: [], delaysMs: [777], seenAt: 1 } : undefined;
    };
    succeed({ record: { isRead: true, find } }, [`${name}.new`, old, first]);
    const looks = (): number => asked.filter((group) => group === first).length;
    await until('it has looked twice', () => looks() > 1);
    expect(await isGone(old)).toBe(false);
    await byHand(RABBITMQ.url, (channel) => channel.purgeQueue(retry));
    await until('both are gone', async () => (await isGone(old)) && (await isGone(retry)));
  });

  it('drains a queue that was made by hand, and leaves it and its bindings as they are', async () => {
    await byHand(RABBITMQ.url, async (channel) => {
      await channel.bindQueue(old, `${name}.events`, 'a.*');
      channel.sendToQueue(old, Buffer.from('{}'));
      await channel.checkQueue(old);
    });
    const drains: FakeDrain[] = [];
    const drain = async (): Promise<Drain> => {
      drains.push(new FakeDrain());
      return drains[0] as Drain;
    };
    succeed({ isByHand: true, drain });
    await until('it drains what is there', () => drains.length > 0);
    await byHand(RABBITMQ.url, (channel) => channel.purgeQueue(old));
    await until('it has ended to drain', () => drains[0]?.state === 'closed');
    await byHand(RABBITMQ.url, async (channel) => {
      channel.publish(`${name}.events`, 'a.b', Buffer.from('{}'));
      await channel.checkQueue(old);
    });
    await until('the event has come by the binding', () => drains.length > 1);
    expect(await waitingIn(RABBITMQ.url, old)).toBe(1);
  });

  it('takes over the dead letters of a group that consumed a queue of another name', async () => {
    await byHand(RABBITMQ.url, async (channel) => {
      await channel.deleteQueue(old);
      channel.sendToQueue(`${old}.dlq`, Buffer.from('{}'));
      await channel.checkQueue(`${old}.dlq`);
    });
    const moves: string[][] = [];
    const moveDeadLetters = async (...names: string[]): Promise<number> => {
      moves.push(names);
      return 2 - moves.length;
    };
    succeed({ moveDeadLetters });
    await until('they are moved', () => moves.length === 2);
    expect(moves[0]).toEqual([old, `${name}.new`]);
  });

  it('is not stopped by names too long for retry queues', async () => {
    succeed({}, [`${name}.${'n'.repeat(200)}`, old]);
    await until('it is gone', () => isGone(old));
    expect(logged).toEqual([]);
  });

  it('does not close a drain that was given something in the last moment: its handler would be aborted', async () => {
    await byHand(RABBITMQ.url, async (channel) => {
      channel.sendToQueue(old, Buffer.from('{}'));
      await channel.checkQueue(old);
    });
    const drain = new FakeDrain();
    // on its way while the consumer was cancelled
    drain.pause = async () => {
      drain.calls.push('pause');
      if (drain.calls.length === 1) drain.isIdle = false;
    };
    let begun = 0;
    succeed({
      drain: async () => {
        begun++;
        return drain;
      },
    });
    await until('it drains', () => begun === 1);
    await byHand(RABBITMQ.url, (channel) => channel.purgeQueue(old));
    await until('it goes on', () => drain.calls.includes('resume'));
    expect(drain.calls).toEqual(['pause', 'resume']);
    drain.isIdle = true;
    await until('it is gone', () => isGone(old));
    expect(drain.calls.slice(2)).toEqual(['pause', 'close']);
  });

  it('gives up to drain a queue that was removed in the last moment', async () => {
    await byHand(RABBITMQ.url, async (channel) => {
      channel.sendToQueue(old, Buffer.from('{}'));
      await channel.checkQueue(old);
    });
    const signals: AbortSignal[] = [];
    const drain = (_: string, signal: AbortSignal): Promise<Drain> => {
      signals.push(signal);
      return new Promise((_resolve, reject) => {
        signal.addEventListener('abort', () => reject(new Error('given up')));
      });
    };
    succeed({ drain });
    await until('it tries again', () => signals.length > 1, 20_000);
    expect(signals[0]?.aborted).toBe(true);
    expect(logged).toEqual([expect.stringMatching(/cannot take over .* yet: .*was not consumed within/)]);
  });

  it('closes by its deadline, whatever it waits for', async () => {
    let isMoving = false;
    const moveDeadLetters = (): Promise<number> => {
      isMoving = true;
      return new Promise(() => undefined);
    };
    const succession = succeed({ moveDeadLetters });
    await until('it moves dead letters', () => isMoving);
    await bounded(succession.close({ deadlineMs: 200 }), 1_000, 'close()');
    expect(await isGone(old)).toBe(false);
  });
});
