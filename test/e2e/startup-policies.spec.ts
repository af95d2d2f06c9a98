import 'reflect-metadata';
import { describe, expect, it } from '@jest/globals';
import { Injectable } from '@nestjs/common';
import {
  BusClosedError,
  EventBusService,
  handshakeBarrier,
  OnEvent,
  RendezvousService,
  RendezvousTimeoutError,
  type StartupContext,
  type StartupPolicy,
  StartupPolicyError,
} from '../../lib/index.js';
import { EventBusClient, EventBusServer } from '../../lib/microservices/index.js';
import { Log } from '../../lib/testing/contract/log.js';
import { bounded, quiet, until } from '../../lib/testing/contract/until.js';
import { isReachable, RABBITMQ } from '../support/brokers.js';
import { type LabParts, withLab } from '../support/lab.js';
import { ConfigFolder } from '../unit/support/config-folder.js';

const reachable = await isReachable(RABBITMQ);
const urls = ['memory:', ...(reachable ? [RABBITMQ.url] : [])].map(
  (url) => [url.split(':', 1)[0] as string, url] as const,
);

const onRabbit = reachable ? describe : describe.skip;

/** A policy that the test opens. */
class Door {
  open: () => void = () => undefined;
  isReached = false;
  readonly signals: AbortSignal[] = [];
  private readonly opened = new Promise<void>((resolve) => {
    this.open = resolve;
  });

  readonly policy = async ({ signal }: StartupContext): Promise<void> => {
    this.isReached = true;
    this.signals.push(signal);
    await this.opened;
  };
}

function listener(seen: Log<number>): LabParts {
  @Injectable()
  class OrderListener {
    @OnEvent('orders.*', { concurrency: 1 })
    on(n: number): void {
      seen.add(n);
    }
  }
  return { providers: [OrderListener] };
}

describe.each(urls)('a startup policy on %s', (_, url) => {
  it.each(['wait', 'background'] as const)(
    'nothing is consumed before it passes, and everything that was published after (mode %s)',
    async (mode) => {
      await withLab(url, async (lab) => {
        const door = new Door();
        const seen = new Log<number>('events');
        const options = { startup: { mode, policy: [{ type: 'no-wait' } as const, door.policy] } };
        const app = lab.track(await lab.compile({ ...listener(seen), options: lab.options(options) }));
        const booting = app.init();
        if (mode === 'background') await bounded(booting, 5_000, 'the boot');
        await until('the policy is asked', () => door.isReached);
        const bus = app.get(EventBusService);
        expect(bus.status).toBe('starting');
        for (const n of [1, 2, 3]) expect(await bus.publish('orders.created', n)).toMatchObject({ routed: true });
        await quiet();
        expect(seen.items).toEqual([]);
        door.open();
        await bounded(booting, 5_000, 'the boot');
        lab.remember(app);
        expect(await seen.settle(3)).toEqual([1, 2, 3]);
        expect(bus.status).toBe('up');
      })();
    },
  );

  it('ends with the application, in the background', async () => {
    await withLab(url, async (lab) => {
      const door = new Door();
      const { app, bus } = await lab.boot({
        ...listener(new Log<number>('events')),
        options: lab.options({ startup: { mode: 'background', policy: door.policy } }),
      });
      await until('the policy is asked', () => door.isReached);
      await bounded(app.close(), 3_500, 'the close');
      expect(door.signals[0]?.aborted).toBe(true);
      expect(bus.status).toBe('closed');
    })();
  });
});

describe.each(urls)('a handshake barrier on %s', (_, url) => {
  it('fails the boot, and names who is missing', async () => {
    await withLab(url, async (lab) => {
      const policy = handshakeBarrier(
        { billing: 2, [`${lab.name}.self`]: 1 },
        { timeoutMs: 300, announce: [`${lab.name}.self`] },
      );
      const error = await lab.bootFails({ options: lab.options({ startup: { policy } }) });
      expect(error).toBeInstanceOf(StartupPolicyError);
      expect(error).toMatchObject({ policy: 'handshake-barrier', cause: expect.any(RendezvousTimeoutError) });
      expect(error.message).toContain('missing: "billing" (0 of 2). Ready:');
    })();
  });

  it('continues without them when it is told to, and warns', async () => {
    await withLab(url, async (lab) => {
      const seen = new Log<number>('events');
      const policy = {
        type: 'handshake-barrier',
        requirements: { billing: 1 },
        timeoutMs: 100,
        onTimeout: 'continue',
      } as const;
      const { bus } = await lab.boot({ ...listener(seen), options: lab.options({ startup: { policy } }) });
      await bus.publish('orders.created', 1);
      expect(await seen.settle(1)).toEqual([1]);
      const warnings = lab.lines.filter((line) => line.startsWith('warn'));
      expect(warnings).toEqual([expect.stringContaining('goes on without its peers. RendezvousTimeoutError: ')]);
      expect(warnings[0]).toContain('"billing" (0 of 1)');
    })();
  });

  it('is passed by who comes later, in the background', async () => {
    await withLab(url, async (lab) => {
      const seen = new Log<number>('events');
      const policy = handshakeBarrier({ orders: 1 });
      const { app, bus } = await lab.boot({
        ...listener(seen),
        options: lab.options({ startup: { mode: 'background', policy } }),
      });
      await bus.publish('orders.created', 1);
      await quiet();
      expect([bus.status, seen.items]).toEqual(['starting', []]);
      await app.get(RendezvousService).announceReady(['orders']);
      expect(await seen.settle(1)).toEqual([1]);
      await until('it is up', () => bus.status === 'up');
    })();
  });

  it('of EventBusServer ends when that closes', async () => {
    await withLab(url, async (lab) => {
      const policy = handshakeBarrier({ billing: 1 });
      const server = new EventBusServer(lab.options({ startup: { policy } }));
      const listening = new Promise<unknown>((resolve) => void server.listen(resolve));
      await until('it waits', () => lab.lines.some((line) => line.includes('Waits up to 30000 ms for 1 × billing')));
      await bounded(server.close(), 3_500, 'the close');
      expect(await listening).toBeInstanceOf(BusClosedError);
    })();
  });
});

onRabbit('a handshake barrier between applications', () => {
  it(
    'lets those that wait for each other meet, and work',
    withLab(RABBITMQ.url, async (lab) => {
      const first = new Log<number>('events of the first');
      const second = new Log<number>('events of the second');
      const barrier = (own: string, other: string) =>
        handshakeBarrier({ [other]: 1 }, { announce: [own], timeoutMs: 10_000 });
      const parts = (seen: Log<number>, own: string, other: string): LabParts => ({
        ...listener(seen),
        options: lab.options({ service: `${lab.service}.${own}`, startup: { policy: barrier(own, other) } }),
      });
      const one = lab.boot(parts(first, 'billing', 'shipping'));
      await until('the first waits', () => lab.lines.some((line) => line.includes('for 1 × shipping')));
      const apps = await bounded(
        Promise.all([one, lab.boot(parts(second, 'shipping', 'billing'))]),
        9_000,
        'the boot of both',
      );
      await apps[0].bus.publish('orders.created', 1);
      expect(await first.settle(1)).toEqual([1]);
      expect(await second.settle(1)).toEqual([1]);
    }),
  );
});

describe('a startup policy', () => {
  it(
    'that fails, fails the boot, by its name',
    withLab(undefined, async (lab) => {
      const seen = new Log<number>('events');
      const policy: StartupPolicy = {
        name: 'migrations',
        waitUntilReady: () => Promise.reject(new Error('2 are pending')),
      };
      const error = await lab.bootFails({ ...listener(seen), options: lab.options({ startup: { policy } }) });
      expect(error).toBeInstanceOf(StartupPolicyError);
      expect(error).toMatchObject({
        code: 'STARTUP_POLICY',
        policy: 'migrations',
        message: 'The startup policy "migrations" failed: Error: 2 are pending',
      });
    }),
  );

  it(
    'is a class that injects providers, the bus too',
    withLab(undefined, async (lab) => {
      const seen = new Log<number>('events');
      @Injectable()
      class Seeded implements StartupPolicy {
        constructor(private readonly bus: EventBusService) {}
        async waitUntilReady({ service, bus }: StartupContext): Promise<void> {
          expect([service, bus]).toEqual([lab.service, 'default']);
          await this.bus.publish('orders.seeded', 7);
        }
      }
      await lab.boot({ ...listener(seen), options: lab.options({ startup: { policy: Seeded } }) });
      expect(await seen.settle(1)).toEqual([7]);
    }),
  );

  it(
    'is waited for by start(), with autoStart: false, and once',
    withLab(undefined, async (lab) => {
      let calls = 0;
      const seen = new Log<number>('events');
      const policy = async (): Promise<void> => {
        calls++;
      };
      const { bus } = await lab.boot({
        ...listener(seen),
        options: lab.options({ autoStart: false, startup: { policy } }),
      });
      await bus.publish('orders.created', 1);
      expect(calls).toBe(0);
      await Promise.all([bus.start(), bus.start()]);
      expect(await seen.settle(1)).toEqual([1]);
      expect(calls).toBe(1);
    }),
  );

  it(
    'that a start() waits for ends with the application: start() rejects',
    withLab(undefined, async (lab) => {
      const door = new Door();
      const { app, bus } = await lab.boot({
        options: lab.options({ autoStart: false, startup: { policy: door.policy } }),
      });
      const starting = bus.start().catch((error: unknown) => error);
      await bounded(app.close(), 3_500, 'the close');
      expect(await starting).toBeInstanceOf(BusClosedError);
    }),
  );

  it(
    'comes from a file',
    withLab(undefined, async (lab) => {
      using folder = new ConfigFolder({
        'event-bus.jsonc': `{ "startup": { "policy": ["./own.mjs#Own", { "type": "fixed-delay", "delayMs": 1 }, "./own.mjs#last"] } }`,
        'own.mjs': `
          export const calls = [];
          export class Own { async waitUntilReady({ service }) { calls.push(service); } }
          export const last = async () => { throw new Error(calls.join()); };`,
      });
      const error = await lab.bootFails({ options: lab.options(await folder.load()) });
      expect(error.message).toBe(`The startup policy "last" failed: Error: ${lab.service}`);
    }),
  );

  it('holds back what EventBusServer consumes, and ends when that closes', async () => {
    const door = new Door();
    const server = new EventBusServer({ service: 'shop', startup: { policy: door.policy } });
    const seen: unknown[] = [];
    server.addHandler('orders.*', async (payload: unknown) => void seen.push(payload), true);
    const listening = new Promise<unknown>((resolve) => void server.listen(resolve));
    await until('the policy is asked', () => door.isReached);
    await server.unwrap().publish('orders.created', 1);
    await quiet();
    expect(seen).toEqual([]);
    await bounded(server.close(), 5_000, 'the close');
    expect(await listening).toBeInstanceOf(BusClosedError);
  });

  it('is nothing for EventBusClient', async () => {
    const client = new EventBusClient({ startup: { policy: async () => undefined } });
    await expect(client.connect()).rejects.toThrow(
      'startup.policy is for what consumes; EventBusClient only publishes.',
    );
    await client.close();
  });
});
