import 'reflect-metadata';
import { expect, it } from '@jest/globals';
import { Controller } from '@nestjs/common';
import { EventPattern, MessagePattern, Payload } from '@nestjs/microservices';
import { firstValueFrom, lastValueFrom } from 'rxjs';
import type { PublishReceipt } from '../../lib/index.js';
import { Log } from '../../lib/testing/contract/log.js';
import { until } from '../../lib/testing/contract/until.js';
import { MicroserviceLab } from '../support/microservice.lab.js';
import { OwnBroker } from './harness/own-broker.js';

const own = new OwnBroker();
const TOLD_MS = 3_000;

function expectTimeout(error: unknown): void {
  expect(error).toMatchObject({ code: 'PUBLISH_TIMEOUT' });
}

own.suite('an application with @nestjs/microservices whose broker restarts', () => {
  it('goes on: requests under way error at once, events wait and arrive, what ran is handled again', async () => {
    const lab = new MicroserviceLab(own.node.url());
    try {
      const placed = new Log<number>('events');
      const started = new Log<number>('requests');
      let open: (() => void) | undefined;
      const gate = new Promise<void>((resolve) => {
        open = resolve;
      });
      @Controller()
      class Orders {
        @EventPattern<string>('orders.*')
        on(@Payload() { n }: { readonly n: number }): void {
          placed.add(n);
        }
        @MessagePattern('orders.place')
        async place(@Payload() n: number): Promise<number> {
          started.add(n);
          if (n === 1) await gate;
          return n;
        }
      }
      const { server } = await lab.serve({ controllers: [Orders] });
      const client = lab.client();
      await lastValueFrom(client.emit('orders.placed', { n: 1 }));
      await placed.reach(1);

      const errors = new Log<unknown>('errors');
      client.send('orders.place', 1).subscribe({ error: errors.add });
      await started.reach(1);
      await own.node.settleQueues();
      const faults = own.node.faults;
      await own.node.kill();
      expect(own.node.faults - faults).toBe(1);
      await errors.reach(1, TOLD_MS);
      expect(errors.items).toMatchObject([{ name: 'ConnectionError', code: 'CONNECTION' }]);
      await until('the server knows', () => server.unwrap().status === 'down');

      const waiting = lastValueFrom(client.emit<PublishReceipt>('orders.placed', { n: 2 }));
      const settled = Promise.allSettled([waiting]);
      await own.node.restart();
      open?.();
      await until('the server is up', () => server.unwrap().status === 'up', 15_000);
      expect(await firstValueFrom(client.send('orders.place', 3))).toBe(3);
      await lastValueFrom(client.emit('orders.placed', { n: 4 }));
      await until('new events are handled', () => placed.items.includes(4));
      // within its time it is confirmed, and then handled; else its publisher was told
      const [outcome] = await settled;
      if (outcome.status === 'fulfilled') await until('the one that waited is handled', () => placed.items.includes(2));
      else expectTimeout(outcome.reason);
    } finally {
      await lab.dispose();
    }
  }, 120_000);
});
