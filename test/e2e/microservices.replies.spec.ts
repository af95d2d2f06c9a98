import 'reflect-metadata';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from '@jest/globals';
import { Controller } from '@nestjs/common';
import { MessagePattern, Payload } from '@nestjs/microservices';
import { type ConfirmChannel, connect } from 'amqplib';
import { firstValueFrom, lastValueFrom } from 'rxjs';
import { EVENT_BUS_TRANSPORT, type Transport } from '../../lib/index.js';
import { EventBusClient } from '../../lib/microservices/index.js';
import { Log } from '../../lib/testing/contract/log.js';
import { until } from '../../lib/testing/contract/until.js';
import { isReachable, RABBITMQ } from '../support/brokers.js';
import { MicroserviceLab, withMicroservices } from '../support/microservice.lab.js';

const onRabbit = (await isReachable(RABBITMQ)) ? describe : describe.skip;

/** The channel on which a client asks and is answered. */
interface Inside {
  readonly opened: {
    readonly requester: {
      readonly size: number;
      readonly path: {
        readonly opened: {
          readonly publisher: {
            readonly channel: { readonly current: ConfirmChannel | undefined };
            readonly inFlight: { readonly size: number };
            readonly wear: { readonly timer: unknown; gaveUp(isSuspect: boolean): void };
          };
        };
      };
    };
  };
}

onRabbit('the channel of the answers', () => {
  it(
    'closed by the broker: all that wait are told at once, nothing is asked twice, and the next one is answered',
    withMicroservices(RABBITMQ.url, async (lab) => {
      const started = new Log<number>('starts');
      const gate = new AbortController();
      @Controller()
      class Slow {
        @MessagePattern('slow', { concurrency: 5 })
        async slow(@Payload() n: number): Promise<number> {
          started.add(n);
          if (n > 0) await sleep(10_000, undefined, { signal: gate.signal }).catch(() => undefined);
          return n;
        }
      }
      await lab.serve({ controllers: [Slow] });
      const client = lab.client();
      expect(await firstValueFrom(client.send('slow', 0))).toBe(0);
      const { publisher } = (client as unknown as Inside).opened.requester.path.opened;
      const asked = Promise.allSettled([1, 2, 3].map((n) => firstValueFrom(client.send('slow', n))));
      await started.reach(4);
      const channel = publisher.channel.current;
      const began = Date.now();
      await expect(channel?.checkQueue(`${lab.lab.name}.absent`)).rejects.toThrow('NOT_FOUND');
      for (const outcome of await asked)
        expect(outcome).toMatchObject({ status: 'rejected', reason: { code: 'CONNECTION', retryable: true } });
      expect(Date.now() - began).toBeLessThan(3_000);
      gate.abort();
      expect(await firstValueFrom(client.send('slow', 0))).toBe(0);
      expect(publisher.channel.current).not.toBe(channel);
      expect(started.items).toEqual([0, 1, 2, 3, 0]);
    }),
  );

  it(
    'is not exchanged while somebody waits, however many give up before their confirm',
    withMicroservices(RABBITMQ.url, async (lab) => {
      const started = new Log<string>('starts');
      @Controller()
      class Slow {
        @MessagePattern('slow')
        async slow(): Promise<string> {
          started.add('slow');
          await sleep(1_500);
          return 'answered';
        }
        @MessagePattern('quick', { concurrency: 5 })
        quick(): number {
          return 1;
        }
      }
      await lab.serve({ controllers: [Slow] });
      const client = lab.client({ publish: { window: 5 } });
      expect(await firstValueFrom(client.send('quick', {}))).toBe(1);
      const { publisher } = (client as unknown as Inside).opened.requester.path.opened;
      const channel = publisher.channel.current;
      const waiting = firstValueFrom(client.send('slow', {}));
      await started.reach(1);
      await until('it is confirmed', () => publisher.inFlight.size === 0);
      // as if a window of them had never been confirmed
      for (let n = 0; n < 5; n++) publisher.wear.gaveUp(false);
      expect(publisher.wear.timer).toBeDefined();
      expect(await firstValueFrom(client.send('quick', {}))).toBe(1);
      expect(await waiting).toBe('answered');
      await until('then it is', () => publisher.channel.current !== undefined && publisher.channel.current !== channel);
      expect(await firstValueFrom(client.send('quick', {}))).toBe(1);
    }),
  );

  it(
    'is the only place for answers: a request that wants them elsewhere is dead, and not handled',
    withMicroservices(RABBITMQ.url, async (lab) => {
      const started = new Log<number>('starts');
      @Controller()
      class Orders {
        @MessagePattern('orders.place')
        place(@Payload() n: number): void {
          started.add(n);
        }
      }
      const { server } = await lab.serve({ controllers: [Orders] });
      const { groups } = server.unwrap().describe() as { readonly groups: readonly { readonly name: string }[] };
      const group = groups[0]?.name ?? '';
      const foreign = await connect(RABBITMQ.url);
      try {
        const channel = await foreign.createConfirmChannel();
        for (const messageId of ['a', 'b'])
          channel.sendToQueue(group, Buffer.from('1'), { messageId, correlationId: 'c', replyTo: `${group}.answers` });
        await channel.waitForConfirms();
      } finally {
        await foreign.close();
      }
      await until('both are dead', async () => (await server.deadLetters.count(group)) === 2);
      expect(started.items).toEqual([]);
      const told = lab.lab.lines.filter((line) => line.startsWith('warn ') && line.includes('reply address'));
      expect(told).toEqual([expect.not.stringContaining('.answers')]);
    }),
  );
});

describe('a client that closes before it was ever connected', () => {
  it('is closed by its deadline', async () => {
    const lab = new MicroserviceLab('amqp://127.0.0.1:1');
    const client = lab.client({ shutdown: { deadlineMs: 300 } });
    const asked = Promise.allSettled([firstValueFrom(client.send('orders.place', {}))]);
    await until('it asks', () => (client as unknown as Inside).opened?.requester.size === 1);
    const began = Date.now();
    await client.close();
    expect(Date.now() - began).toBeLessThan(1_500);
    expect(await asked).toMatchObject([{ status: 'rejected', reason: { code: 'BUS_CLOSED' } }]);
    const waits = lab.client({ shutdown: { deadlineMs: 300 }, startup: { mode: 'wait', timeoutMs: 20_000 } });
    const connecting = Promise.allSettled([waits.connect()]);
    await new Promise((resolve) => setImmediate(resolve));
    const again = Date.now();
    await waits.close();
    expect(Date.now() - again).toBeLessThan(1_500);
    expect(await connecting).toMatchObject([{ status: 'rejected' }]);
  });
});

onRabbit('a transport that is lent', () => {
  it(
    'gets the exchanges of its borrower; one that is known with another type is refused',
    withMicroservices(RABBITMQ.url, async ({ lab }) => {
      const { app, bus } = await lab.boot({});
      const transport = app.get<Transport>(EVENT_BUS_TRANSPORT);
      const exchange = lab.willRemoveExchange(`${lab.name}.other`);
      const options = { service: lab.service, transport, logger: lab.logger };
      const other = new EventBusClient({ ...options, exchange });
      const startup = { mode: 'wait' } as const;
      const strange = new EventBusClient({ ...options, exchange: { name: exchange, type: 'direct' }, startup });
      try {
        expect(await lastValueFrom(other.emit('a.b', 1))).toMatchObject({ state: 'confirmed' });
        await expect(strange.connect()).rejects.toMatchObject({ code: 'CONFIGURATION' });
        expect(await bus.publish('a.b', 1)).toMatchObject({ state: 'confirmed' });
      } finally {
        await other.close();
        await strange.close();
      }
    }),
  );
});
