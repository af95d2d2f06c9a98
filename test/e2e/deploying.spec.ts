import { randomUUID } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import { Injectable } from '@nestjs/common';
import { connect } from 'amqplib';
import { type EventBusModuleOptions, fixed, MemoryInboxStore, OnEvent, type OnEventOptions } from '../../lib/index.js';
import { until } from '../../lib/testing/contract/until.js';
import { isReachable, RABBITMQ } from '../support/brokers.js';
import { type Lab, withLab } from '../support/lab.js';

/** A service with one handler, as one of its versions has it. */
function version(
  pattern: string | readonly string[],
  options: OnEventOptions,
): { type: new () => object; seen: string[] } {
  const seen: string[] = [];
  @Injectable()
  class Listener {
    @OnEvent(pattern, options)
    on({ id }: { id: string }): void {
      seen.push(id);
    }
  }
  return { type: Listener, seen };
}

const described = (await isReachable(RABBITMQ)) ? describe : describe.skip;

described('A deployment on RabbitMQ', () => {
  it(
    'starts a version with other attempts, delays, limits, patterns and policies beside the one before',
    withLab(RABBITMQ.url, async (lab) => {
      const group = lab.willRemoveGroup(`${lab.name}.group`);
      const before = version('a.*', {
        group,
        retry: { delaysMs: [20] },
        prefetch: 5,
        concurrency: 2,
        timeoutMs: 5_000,
      });
      const after = version(['a.*', 'b.#'], {
        group,
        retry: { delaysMs: [40, 80] },
        prefetch: 50,
        concurrency: 25,
        timeoutMs: 9_000,
        idempotent: true,
      });
      const unmatched = fixed({ attempts: 3, delayMs: 20 });
      const options: EventBusModuleOptions = {
        publish: { unroutable: 'reject' },
        consume: { unmatched },
        inbox: new MemoryInboxStore(),
      };
      const first = await lab.boot({ providers: [before.type] });
      const second = await lab.boot({ providers: [after.type], options });
      const both = [first.bus, second.bus];
      // and back again, as a deployment that is rolled back
      const third = await lab.boot({ providers: [before.type] });
      const ids = Array.from({ length: 60 }, () => randomUUID());
      for (const [i, id] of ids.entries()) await both[i % 2]?.publish('a.1', { id });
      await until('all are handled', () => before.seen.length + after.seen.length === ids.length);
      expect([...before.seen, ...after.seen].toSorted()).toEqual(ids.toSorted());
      expect([...both, third.bus].map((bus) => bus.status)).toEqual(['up', 'up', 'up']);
      expect(lab.lines.filter((line) => /conflict|PRECONDITION|406|cannot/i.test(line))).toEqual([]);
      expect(await third.deadLetters.count(group)).toBe(0);
    }),
  );

  it(
    'unbinds a pattern that a group had before',
    withLab(RABBITMQ.url, async (lab) => {
      const group = lab.willRemoveGroup(`${lab.name}.group`);
      const before = version(['a.*', 'b.*'], { group });
      const first = await lab.boot({ providers: [before.type] });
      await first.app.close();
      const after = version('a.*', { group, unbind: 'b.*' });
      const { bus } = await lab.boot({ providers: [after.type] });
      expect(await bus.publish('b.1', { id: 'b' }, { unroutable: 'ignore' })).toMatchObject({ routed: false });
      expect(await bus.publish('a.1', { id: 'a' })).toMatchObject({ routed: true });
      await until('a is handled', () => after.seen.length === 1);
      expect(after.seen).toEqual(['a']);
    }),
  );

  it(
    'tells of groups that no version handles any more, and of patterns that nobody asks for',
    withLab(RABBITMQ.url, async (lab) => {
      const gone = lab.willRemoveGroup(`${lab.name}.gone`);
      const group = lab.willRemoveGroup(`${lab.name}.group`);
      const first = await lab.boot({
        providers: [version('a.*', { group: gone }).type, version('b.*', { group }).type],
      });
      await recorded(lab);
      await first.bus.publish('a.1', { id: 'a' });
      await until('it is handled', () => first.bus.stats().groups[gone]?.handled === 1);
      await first.app.close();
      const { bus } = await lab.boot({ providers: [version('c.*', { group }).type] });
      await bus.publish('a.2', { id: 'waits' });
      await until('it is told', () => lab.lines.filter((line) => line.startsWith('warn Group')).length === 2);
      const { vanishedGroups, stalePatterns } = bus.describe() as Record<string, readonly Record<string, unknown>[]>;
      expect(vanishedGroups).toEqual([{ group: gone, messages: expect.any(Number), seenAt: expect.any(Number) }]);
      expect(stalePatterns).toEqual([{ group, pattern: 'b.*' }]);
    }),
  );

  it(
    'writes its groups down as soon as it is connected when it starts in the background',
    withLab(RABBITMQ.url, async (lab) => {
      const group = lab.willRemoveGroup(`${lab.name}.group`);
      await lab.boot({ providers: [version('a.*', { group }).type], options: { startup: { mode: 'background' } } });
      await recorded(lab);
      expect(lab.lines.filter((line) => line.startsWith('warn'))).toEqual([]);
    }),
  );

  it(
    'drains a group that was renamed, unbinds it, and gives its retries to the new one',
    withLab(RABBITMQ.url, async (lab) => {
      const old = lab.willRemoveGroup(`${lab.name}.old`);
      const group = lab.willRemoveGroup(`${lab.name}.new`);
      const before = version('a.*', { group: old });
      const first = await lab.boot({ providers: [before.type] });
      await recorded(lab);
      await first.app.close();
      const publisher = await lab.boot();
      await publisher.bus.publish('a.1', { id: 'left behind' });
      const after = version('a.*', { group, renamedFrom: old });
      const { bus } = await lab.boot({
        providers: [after.type],
        options: { consume: { retry: fixed({ attempts: 2, delayMs: 20 }) } },
      });
      await until('what was left behind is handled', () => after.seen.length === 1);
      await until('the old queue is unbound', async () => {
        const id = randomUUID();
        await bus.publish('a.2', { id });
        await until('it is handled', () => after.seen.includes(id));
        return after.seen.filter((one) => one === id).length === 1 && (await depth(old)) === 0;
      });
      expect(after.seen[0]).toBe('left behind');
      expect(bus.describe()).toMatchObject({ vanishedGroups: [] });
    }),
  );
});

/** The record of the lab's service is written a little after the start. */
async function recorded(lab: Lab): Promise<void> {
  const connection = await connect(RABBITMQ.url);
  try {
    await until('the groups are recorded', async () => {
      const channel = await connection.createChannel();
      channel.on('error', () => undefined);
      const queue = `${lab.exchange}.groups.${lab.service}`;
      const { messageCount } = await channel.checkQueue(queue).catch(() => ({ messageCount: 0 }));
      return messageCount === 1;
    });
  } finally {
    await connection.close();
  }
}

async function depth(queue: string): Promise<number> {
  const connection = await connect(RABBITMQ.url);
  try {
    const channel = await connection.createChannel();
    return (await channel.checkQueue(queue)).messageCount;
  } finally {
    await connection.close();
  }
}
