import 'reflect-metadata';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import {
  type BeforeApplicationShutdown,
  Injectable,
  Module,
  type OnApplicationShutdown,
  type OnModuleDestroy,
} from '@nestjs/common';
import { BusClosedError, EventBusService, OnEvent, type PublishReceipt } from '../../lib/index.js';
import { Log } from '../../lib/testing/contract/log.js';
import { bounded, quiet, until } from '../../lib/testing/contract/until.js';
import { isReachable, RABBITMQ } from '../support/brokers.js';
import { start } from '../support/child.js';
import { type Lab, withLab } from '../support/lab.js';

const reachable = await isReachable(RABBITMQ);
const urls = ['memory:', ...(reachable ? [RABBITMQ.url] : [])].map(
  (url) => [url.split(':', 1)[0] as string, url] as const,
);
const onRabbit = reachable ? describe : describe.skip;

function gate(): { readonly passed: Promise<void>; readonly open: () => void } {
  let open = (): void => undefined;
  const passed = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { passed, open };
}

describe.each(urls)('shutdown on %s', (_, url) => {
  it(
    'handlers finish while other modules are open; other modules publish until the end',
    withLab(url, async (lab) => {
      const events: string[] = [];
      const receipts: PublishReceipt[] = [];
      const started = new Log<unknown>('starts');
      const { passed, open } = gate();

      @Injectable()
      class Prisma implements OnModuleDestroy {
        isOpen = true;
        onModuleDestroy(): void {
          this.isOpen = false;
          events.push('prisma closed');
        }
      }
      @Module({ providers: [Prisma], exports: [Prisma] })
      class PrismaModule {}

      @Injectable()
      class WorkListener {
        constructor(private readonly prisma: Prisma) {}
        @OnEvent('work.*')
        async on(): Promise<void> {
          started.add(1);
          await passed;
          await quiet(30);
          events.push(this.prisma.isOpen ? 'handled, prisma open' : 'handled, prisma closed');
        }
      }
      @Module({ imports: [PrismaModule], providers: [WorkListener] })
      class WorkModule {}

      @Injectable()
      class Goodbye implements OnModuleDestroy, BeforeApplicationShutdown, OnApplicationShutdown {
        constructor(private readonly bus: EventBusService) {}
        async onModuleDestroy(): Promise<void> {
          receipts.push(await this.bus.publish('bye.destroy', 1, { unroutable: 'ignore' }));
        }
        async beforeApplicationShutdown(): Promise<void> {
          receipts.push(await this.bus.publish('bye.before', 1, { unroutable: 'ignore' }));
        }
        async onApplicationShutdown(): Promise<void> {
          receipts.push(await this.bus.publish('bye.shutdown', 1, { unroutable: 'ignore' }));
        }
      }
      @Module({ providers: [Goodbye] })
      class GoodbyeModule {}

      const { app, bus } = await lab.boot({ imports: [WorkModule, GoodbyeModule] });
      await bus.publish('work.do', 1);
      await started.reach(1);
      const closed = app.close();
      await quiet(50);
      expect(events).toEqual([]);
      open();
      await bounded(closed, 5_000, 'close');
      expect(events).toEqual(['handled, prisma open', 'prisma closed']);
      expect(receipts).toMatchObject(
        ['bye.destroy', 'bye.before', 'bye.shutdown'].map((topic) => ({ topic, state: 'confirmed' })),
      );
      await expect(bus.publish('bye.late', 1)).rejects.toBeInstanceOf(BusClosedError);
    }),
  );

  it(
    'closed twice and at once under load: no handler runs afterwards, and what was not handled is still queued',
    withLab(url, async (lab) => {
      const seen = new Log<number>('events');
      @Injectable()
      class WorkListener {
        @OnEvent('work.*', { concurrency: 2 })
        async on(n: number): Promise<void> {
          await quiet(10);
          seen.add(n);
        }
      }
      const { app, bus } = await lab.boot({ providers: [WorkListener] });
      const total = 40;
      await bus.publishAll(Array.from({ length: total }, (_unused, payload) => ({ topic: 'work.do', payload })));
      await seen.reach(4);
      await bounded(Promise.all([app.close(), app.close()]), 5_000, 'close');
      await app.close();
      const handled = seen.length;
      await quiet(50);
      expect(seen.length).toBe(handled);
      if (!url.startsWith('amqp')) return;
      await lab.boot({ providers: [WorkListener] });
      const all = await seen.settle(total, 200);
      expect(new Set(all).size).toBe(total);
    }),
  );
});

describe.each(urls)('who consumes on %s', (_, url) => {
  function workers(seen: Log<string>) {
    @Injectable()
    class WorkListener {
      @OnEvent('work.*', { group: 'mail.welcome' })
      mail(): void {
        seen.add('mail');
      }
      @OnEvent('work.*', { group: 'stats.daily' })
      stats(): void {
        seen.add('stats');
      }
    }
    return WorkListener;
  }
  // groups are names of the whole broker: a namespace keeps those of one test apart
  const namespaced = (lab: Lab, consume: object) => {
    for (const group of ['mail.welcome', 'stats.daily', `${lab.service}.broadcast`]) {
      lab.willRemoveGroup(`${lab.name}.${group}`);
    }
    lab.willRemoveExchange(`${lab.name}.${lab.exchange}`);
    return { namespace: lab.name, consume };
  };

  it.each<readonly [string, object, readonly string[]]>([
    ['enabled: false', { enabled: false }, []],
    ['a glob', { enabled: ['mail.*'] }, ['mail']],
    ['a group switched off', { groups: { 'stats.*': { enabled: false } } }, ['mail']],
    ['a group switched on', { enabled: false, groups: { 'stats.daily': { enabled: true } } }, ['stats']],
  ])('%s: the others are declared, and keep their events', async (__, consume, expected) => {
    await withLab(url, async (lab) => {
      const seen = new Log<string>('events');
      const providers = [workers(seen)];
      const api = await lab.boot({ providers, options: namespaced(lab, consume) });
      expect((await api.bus.publish('work.do', 1)).routed).toBe(true);
      await seen.settle(expected.length, 150);
      expect(seen.items).toEqual(expected);
      if (!url.startsWith('amqp')) return;
      await lab.boot({ providers, options: namespaced(lab, {}) });
      expect([...(await seen.settle(2))].toSorted()).toEqual(['mail', 'stats']);
    })();
  });

  it(
    'consume.groups wins over the decorator, the last matching glob over the others',
    withLab(url, async (lab) => {
      const groups = { '*': { concurrency: 3, prefetch: 9 }, 'mail.*': { concurrency: 1, retry: false } };
      const options = namespaced(lab, { concurrency: 7, groups });
      const { bus } = await lab.boot({ providers: [workers(new Log())], options });
      expect((bus.describe() as { groups: unknown }).groups).toMatchObject([
        { name: 'mail.welcome', concurrency: 1, prefetch: 9, retry: [] },
        { name: 'stats.daily', concurrency: 3, prefetch: 9, retry: [1_000, 5_000, 25_000, 125_000, 600_000] },
      ]);
    }),
  );

  it(
    'autoStart: false: nothing is consumed before start(), and start() after close rejects',
    withLab(url, async (lab) => {
      const seen = new Log<string>('events');
      const options = { ...namespaced(lab, {}), autoStart: false };
      const { app, bus } = await lab.boot({ providers: [workers(seen)], options });
      expect((await bus.publish('work.do', 1)).routed).toBe(true);
      await seen.settle(0, 150);
      await bus.start();
      expect([...(await seen.settle(2))].toSorted()).toEqual(['mail', 'stats']);
      await app.close();
      await expect(bus.start()).rejects.toBeInstanceOf(BusClosedError);
    }),
  );
});

onRabbit('SIGTERM', () => {
  it(
    'under load, with shutdown hooks: what was confirmed is handled or still queued, and the process ends',
    withLab(RABBITMQ.url, async (lab) => {
      const folder = await mkdtemp(join(tmpdir(), 'event-bus-'));
      const LEDGER = join(folder, 'ledger');
      const group = lab.willRemoveGroup(`${lab.service}.WorkListener.on`);
      const env = { TARGET: RABBITMQ.url, SERVICE: lab.service, EXCHANGE: lab.exchange, LEDGER };
      const read = async (): Promise<readonly string[]> => (await readFile(LEDGER, 'utf8').catch(() => '')).split('\n');
      const child = start('worker.child', env);
      try {
        await until('it is under load', async () => (await read()).length > 600, 20_000);
        child.process.kill('SIGTERM');
        const { signal, stderr } = await child.ended(15_000);
        expect(signal ?? 'SIGTERM').toBe('SIGTERM');
        expect(stderr).toBe('');

        const ledger = await read();
        const numbers = (what: string): string[] =>
          ledger.flatMap((line) => (line.startsWith(`${what} `) ? [line.slice(what.length + 1)] : []));
        const confirmed = numbers('confirmed');
        const handled = new Set(numbers('handled'));
        expect(numbers('unrouted')).toEqual([]);
        expect(confirmed.length).toBeGreaterThan(100);
        const missing = confirmed.filter((n) => !handled.has(n));
        expect(missing.length).toBeGreaterThan(0); // else it was no load

        const queued = new Set<string>();
        const redelivered: string[] = [];
        const { bus } = await lab.boot();
        await bus.subscribe<number>(
          'work.*',
          (n, context) => {
            queued.add(String(n));
            if (context.attempt > 1) redelivered.push(String(n));
          },
          { group },
        );
        await until('all is accounted for', () => missing.every((n) => queued.has(n)));
        expect(redelivered).toEqual([]);
        // a graceful end handles nothing twice
        expect([...queued].filter((n) => handled.has(n))).toEqual([]);
      } finally {
        child.process.kill('SIGKILL');
        await rm(folder, { recursive: true });
      }
    }),
    60_000,
  );
});
