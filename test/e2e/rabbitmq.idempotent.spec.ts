import 'reflect-metadata';
import { describe, expect, it } from '@jest/globals';
import { Injectable } from '@nestjs/common';
import { type EventContext, MemoryInboxStore, OnEvent } from '../../lib/index.js';
import { Log } from '../../lib/testing/contract/log.js';
import { until } from '../../lib/testing/contract/until.js';
import { isReachable, RABBITMQ } from '../support/brokers.js';
import { withLab } from '../support/lab.js';
import { closedPort, TcpProxy, withPort } from '../support/tcp-proxy.js';
import { deferred } from '../unit/support/deferred.js';

const onRabbit = (await isReachable(RABBITMQ)) ? describe : describe.skip;

onRabbit('idempotent handlers and what a broker delivers again', () => {
  it.each([
    ['F30 the connection dies after the handler began and before the acknowledgement: one effect', true],
    ['without idempotent the same has two', false],
  ])('%s', async (_, idempotent) => {
    const port = await closedPort();
    const proxy = await new TcpProxy(RABBITMQ.url).listen(port);
    try {
      await withLab(withPort(RABBITMQ.url, port), async (lab) => {
        const effects = new Log<boolean>('effects');
        const end = deferred();
        @Injectable()
        class OrderListener {
          @OnEvent('orders.*', { idempotent })
          async on(_payload: unknown, { redelivered }: EventContext): Promise<void> {
            effects.add(redelivered);
            await end.promise;
          }
        }
        const { bus } = await lab.boot({ providers: [OrderListener], options: { inbox: new MemoryInboxStore() } });
        const stats = () => bus.stats().groups[`${lab.service}.OrderListener.on`];
        await bus.publish('orders.created', 1);
        await effects.reach(1);
        proxy.drop();
        await until('the consumer was lost', () => stats()?.interrupted === 1);
        end.resolve();
        await until('the first has ended, too late to say so', () => (stats()?.stale ?? 0) >= 1);
        const settled = () => (stats()?.handled ?? 0) + (stats()?.duplicates ?? 0);
        await until('it came again', () => settled() === 2);
        expect(effects.items).toEqual(idempotent ? [false] : [false, true]);
        expect(stats()).toMatchObject(idempotent ? { handled: 1, duplicates: 1 } : { handled: 2, duplicates: 0 });
      })();
    } finally {
      await proxy.close();
    }
  });

  it(
    'one warning says that the memory of a process is not enough for a queue that outlives it',
    withLab(RABBITMQ.url, async (lab) => {
      @Injectable()
      class OrderListener {
        @OnEvent('orders.*', { idempotent: true })
        one(): void {}
        @OnEvent('orders.*', { idempotent: true })
        two(): void {}
      }
      await lab.boot({ providers: [OrderListener] });
      const warnings = lab.lines.filter((line) => line.startsWith('warn '));
      expect(warnings).toEqual([expect.stringContaining('Set inbox to a store that all instances share')]);
    }),
  );
});
