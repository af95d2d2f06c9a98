import 'reflect-metadata';
import { describe, expect, it } from '@jest/globals';
import { Global, Injectable, Module, type OnApplicationBootstrap, type OnModuleInit, type Type } from '@nestjs/common';
import { ConnectionError, EventBusService, OnEvent, PublishTimeoutError } from '../../lib/index.js';
import { Log } from '../../lib/testing/contract/log.js';
import { bounded, quiet, until } from '../../lib/testing/contract/until.js';
import { isReachable, RABBITMQ } from '../support/brokers.js';
import { start } from '../support/child.js';
import { type Lab, withLab } from '../support/lab.js';
import { closedPort, TcpProxy, withPort } from '../support/tcp-proxy.js';

const reachable = await isReachable(RABBITMQ);
const urls = ['memory:', ...(reachable ? [RABBITMQ.url] : [])].map(
  (url) => [url.split(':', 1)[0] as string, url] as const,
);
const onRabbit = reachable ? describe : describe.skip;

/** Publishes in both hooks of start-up, and awaits it. */
function eager(name: string): Type {
  @Injectable()
  class Eager implements OnModuleInit, OnApplicationBootstrap {
    constructor(private readonly bus: EventBusService) {}
    async onModuleInit(): Promise<void> {
      await this.bus.publish(`hook.${name}`, 'init', { unroutable: 'reject' });
    }
    async onApplicationBootstrap(): Promise<void> {
      await this.bus.publish(`hook.${name}`, 'bootstrap', { unroutable: 'reject' });
    }
  }
  return Eager;
}

describe.each(urls)('start-up on %s', (_, url) => {
  it.each(['wait', 'background'] as const)('an awaited publish in a hook never deadlocks (mode %s)', async (mode) => {
    await withLab(url, async (lab) => {
      const seen = new Log<string>('events');
      const order: string[] = [];
      @Injectable()
      class LateListener implements OnModuleInit, OnApplicationBootstrap {
        async onModuleInit(): Promise<void> {
          await quiet(20);
          order.push('late init');
        }
        async onApplicationBootstrap(): Promise<void> {
          await quiet(20);
          order.push('late bootstrap');
        }
        @OnEvent('hook.*', { concurrency: 1 })
        on(payload: string, { topic }: { topic: string }): void {
          order.push('event');
          seen.add(`${topic} ${payload}`);
        }
      }
      const [FeatureEager, GlobalEager] = [eager('feature'), eager('global')];
      @Module({ providers: [FeatureEager] })
      class FeatureModule {}
      @Global()
      @Module({ providers: [GlobalEager], imports: [FeatureModule] })
      class GlobalModule {}
      const booted = lab.boot({ imports: [GlobalModule], providers: [LateListener], options: { startup: { mode } } });
      await bounded(booted, 10_000, 'the boot');
      expect([...(await seen.settle(4))].toSorted()).toEqual([
        'hook.feature bootstrap',
        'hook.feature init',
        'hook.global bootstrap',
        'hook.global init',
      ]);
      expect(order.slice(0, 2)).toEqual(['late init', 'late bootstrap']);
    })();
  });
});

describe('a broker that is down', () => {
  it('mode wait: the boot rejects in time with a typed error', async () => {
    const url = `amqp://user:c4nary@127.0.0.1:${await closedPort()}`;
    await withLab(url, async (lab) => {
      const before = Date.now();
      const error = await lab.bootFails({ options: { startup: { timeoutMs: 400 } } });
      const took = Date.now() - before;
      expect(error).toBeInstanceOf(ConnectionError);
      expect(error).toMatchObject({ code: 'CONNECTION', retryable: true });
      expect(took).toBeGreaterThanOrEqual(390);
      expect(took).toBeLessThan(1_500);
      expect([error.stack, ...lab.lines].join('\n')).not.toContain('c4nary');
    })();
  });

  it('mode wait: a failed boot does not keep its process alive', async () => {
    const child = start('unreachable.child', { TARGET: `amqp://127.0.0.1:${await closedPort()}` });
    const { code, stdout, stderr } = await child.ended(15_000);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(JSON.parse(stdout)).toEqual({ name: 'ConnectionError', code: 'CONNECTION', retryable: true });
  });

  it('mode background: boots at once, says that it is not up, publishes reject in time, and it closes', async () => {
    await withLab(`amqp://127.0.0.1:${await closedPort()}`, async (lab) => {
      const options = { startup: { mode: 'background' } as const, publish: { timeoutMs: 5_000 } };
      const { bus, app } = await bounded(lab.boot({ options }), 1_000, 'the boot');
      expect(['starting', 'down']).toContain(bus.status);
      const before = Date.now();
      const error = await bus.publish('orders.created', 1, { timeoutMs: 250 }).catch((e: unknown) => e);
      const took = Date.now() - before;
      expect(error).toBeInstanceOf(PublishTimeoutError);
      expect(error).toMatchObject({ sent: false, retryable: true });
      expect(took).toBeGreaterThanOrEqual(240);
      expect(took).toBeLessThan(1_000);
      const pending = bus.publish('orders.created', 1).catch((e: unknown) => e);
      await bounded(app.close(), 6_000, 'close');
      expect(await pending).toMatchObject({ code: expect.stringMatching(/BUS_CLOSED|PUBLISH_TIMEOUT/) });
    })();
  });
});

it('an application closed before it starts has opened nothing', async () => {
  await withLab(`amqp://127.0.0.1:${await closedPort()}`, async (lab) => {
    const app = await lab.compile();
    await bounded(app.close(), 2_000, 'close');
    expect(app.get(EventBusService).status).toBe('closed');
    expect(lab.lines).toEqual([]);
  })();
});

onRabbit('a broker that comes late', () => {
  it('mode background: what was buffered is sent, in order, and consumed', async () => {
    const port = await closedPort();
    const proxy = new TcpProxy(RABBITMQ.url);
    const seen = new Log<number>('events');
    @Injectable()
    class OrderListener {
      @OnEvent('orders.*', { concurrency: 1 })
      on(n: number): void {
        seen.add(n);
      }
    }
    try {
      await withLab(withPort(RABBITMQ.url, port), async (lab) => {
        const options = { startup: { mode: 'background' } as const };
        const { bus } = await bounded(lab.boot({ options, providers: [OrderListener] }), 1_000, 'the boot');
        const receipts = [1, 2, 3].map((n) => bus.publish('orders.created', n));
        await quiet(300);
        expect(bus.status).not.toBe('up');
        expect(seen.items).toEqual([]);
        await proxy.listen(port);
        expect(await Promise.all(receipts)).toMatchObject(Array(3).fill({ state: 'confirmed', routed: true }));
        expect(await seen.settle(3)).toEqual([1, 2, 3]);
        await until('it is up', () => bus.status === 'up');
        // and again after a loss
        proxy.drop();
        expect((await bus.publish('orders.created', 4)).routed).toBe(true);
        await seen.reach(4);
      })();
    } finally {
      await proxy.close();
    }
  });

  it('mode wait: the boot goes on as soon as the broker is there', async () => {
    const port = await closedPort();
    const proxy = new TcpProxy(RABBITMQ.url);
    try {
      await withLab(withPort(RABBITMQ.url, port), async (lab) => {
        const booting = lab.boot({ options: { startup: { timeoutMs: 15_000 } } });
        await quiet(200);
        await proxy.listen(port);
        const { bus } = await bounded(booting, 6_000, 'the boot');
        expect(bus.status).toBe('up');
      })();
    } finally {
      await proxy.close();
    }
  });
});

onRabbit('what waiting cannot mend', () => {
  const wrong = (change: (url: URL) => void): string => {
    const url = new URL(RABBITMQ.url);
    change(url);
    return url.href;
  };
  const cases = [
    ['a wrong password', wrong((url) => Object.assign(url, { password: 'c4nary' }))],
    ['a missing vhost', wrong((url) => Object.assign(url, { pathname: '/no-such-vhost' }))],
  ] as const;

  const check = (lab: Lab, error: unknown): void => {
    expect(error).toBeInstanceOf(ConnectionError);
    expect(error).toMatchObject({ code: 'CONNECTION_REFUSED', retryable: false });
    const said = [(error as Error).stack, String((error as Error).cause), ...lab.lines].join('\n');
    expect(said).not.toContain('c4nary');
    expect(said).not.toContain(`:${new URL(RABBITMQ.url).password}@`);
  };

  it.each(cases)('%s: the boot rejects fast', async (_, url) => {
    await withLab(url, async (lab) => {
      const before = Date.now();
      check(lab, await lab.bootFails({ options: { startup: { timeoutMs: 20_000 } } }));
      expect(Date.now() - before).toBeLessThan(4_000);
    })();
  });

  it.each(cases)('%s in mode background: down, logged, and publishes reject at once', async (_, url) => {
    await withLab(url, async (lab) => {
      const { bus } = await lab.boot({ options: { startup: { mode: 'background' } } });
      check(lab, await bus.publish('orders.created', 1).catch((error: unknown) => error));
      await until('it is down', () => bus.status === 'down');
      expect(lab.lines.filter((line) => line.startsWith('error '))).not.toHaveLength(0);
    })();
  });
});
