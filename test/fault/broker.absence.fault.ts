import 'reflect-metadata';
import { expect, it } from '@jest/globals';
import { Injectable } from '@nestjs/common';
import {
  ConnectionError,
  type EventContext,
  OnEvent,
  PublishRejectedError,
  PublishTimeoutError,
} from '../../lib/index.js';
import { Log } from '../../lib/testing/contract/log.js';
import { bounded, until } from '../../lib/testing/contract/until.js';
import { outcomeOf, pendingOf, range } from './harness/fake-broker.lab.js';
import { OwnBroker } from './harness/own-broker.js';
import { drainQueues } from './harness/queue-contents.js';
import { RabbitMqNode } from './harness/rabbitmq-node.js';

const SLACK_MS = 1_000;
const PATIENT_MS = 100_000;
const BOOT_MS = 90_000;
const RECOVERED_MS = 5_000;
const own = new OwnBroker(() => RabbitMqNode.create());

own.suite('a broker that is absent at the start', () => {
  it('wait: the boot is rejected in its time, and says what to do', async () => {
    const timeoutMs = 1_500;
    expect(own.node.isRunning).toBe(false);
    const { value, ms } = await outcomeOf(
      own.lab.bootFails({ options: { transport: own.node.url(), startup: { mode: 'wait', timeoutMs } } }),
    );
    expect(value).toBeInstanceOf(ConnectionError);
    expect(value).toMatchObject({ code: 'CONNECTION', retryable: true });
    expect(value?.message).toMatch(/was not ready within 1500 ms.*ECONNREFUSED.*Start it,/);
    expect(ms).toBeGreaterThanOrEqual(timeoutMs - 50);
    expect(ms).toBeLessThanOrEqual(timeoutMs + SLACK_MS);
  });

  it(
    'background: boots at once, holds what its buffer may hold, and sends it in order when the broker comes',
    async () => {
      expect(own.node.isRunning).toBe(false);
      const [messages, bytes, topics] = [40, 10_000, ['orders.a', 'orders.b', 'orders.c', 'orders.d']];
      const seen = new Log<readonly [string, number]>('events');
      @Injectable()
      class OrderListener {
        @OnEvent('orders.*', { concurrency: 1 })
        on(n: number, { topic }: EventContext): void {
          seen.add([topic, n]);
        }
      }
      const options = { transport: own.node.url(), startup: { mode: 'background' } } as const;
      const boot = await outcomeOf(
        own.lab.boot({ options: { ...options, publish: { buffer: { messages } } }, providers: [OrderListener] }),
      );
      if (!boot.value) throw boot.error;
      expect(boot.ms).toBeLessThanOrEqual(SLACK_MS);
      const { app, bus } = boot.value;
      const narrow = await own.lab.boot({
        options: { ...options, publish: { buffer: { bytes }, unroutable: 'ignore' } },
      });
      expect(bus.status).not.toBe('up');

      // these give up before the broker comes, and make room again
      const [impatient] = await Promise.all([
        Promise.all(range(messages).map((n) => outcomeOf(bus.publish('orders.never', n, { timeoutMs: 500 })))),
        expect(bus.publish('orders.never', -1)).rejects.toMatchObject({ code: 'BUFFER_FULL' }),
      ]);
      for (const { error, ms } of impatient) {
        expect(error).toBeInstanceOf(PublishTimeoutError);
        expect(error).toMatchObject({ sent: false });
        expect(ms).toBeLessThanOrEqual(500 + SLACK_MS);
      }

      const patient = { timeoutMs: PATIENT_MS };
      const buffered = range(messages).map((n) => bus.publish(topics[n % topics.length] as string, n, patient));
      // as JSON with its quotes as long as fits ten times
      const body = 'x'.repeat(bytes / 10 - 2);
      const heavy = range(10).map(() => narrow.bus.publish('sizes.large', body, patient));
      for (const refused of [bus.publish('orders.a', -1, patient), narrow.bus.publish('sizes.large', 1, patient)]) {
        const { error, ms } = await outcomeOf(refused);
        expect(error).toBeInstanceOf(PublishRejectedError);
        expect(error).toMatchObject({ code: 'BUFFER_FULL', retryable: true });
        expect(ms).toBeLessThanOrEqual(SLACK_MS);
      }
      expect([pendingOf(bus), pendingOf(narrow.bus)]).toEqual([messages, heavy.length]);

      await own.node.start();
      for (const receipt of await bounded(Promise.all(buffered), RECOVERED_MS, 'sending what was buffered')) {
        expect(receipt).toMatchObject({ state: 'confirmed', routed: true });
      }
      expect(await bounded(Promise.all(heavy), RECOVERED_MS, 'sending the heavy ones')).toHaveLength(10);
      await seen.settle(messages, 300);
      expect(bus.status).toBe('up');
      for (const [i, topic] of topics.entries()) {
        const numbers = seen.items.filter(([of]) => of === topic).map(([, n]) => n);
        expect(numbers).toEqual(range(messages).filter((n) => n % topics.length === i));
      }

      expect([pendingOf(bus), pendingOf(narrow.bus)]).toEqual([0, 0]);
      await until('nothing is in work', () => bus.stats().groups[`${own.lab.service}.OrderListener.on`]?.running === 0);
      await app.close();
      const { left, dead } = await drainQueues(own.node.url(), `${own.lab.service}.OrderListener.on`);
      expect({ left: left.size, dead: dead.size }).toEqual({ left: 0, dead: 0 });
    },
    BOOT_MS + 30_000,
  );
});
