import { describe, expect, it } from '@jest/globals';
import { EventBus } from '../../lib/bus/event-bus.js';
import type { EventBusParts } from '../../lib/bus/event-bus.parts.js';
import type { HandlerRegistration } from '../../lib/bus/group-definition.js';
import { HandlerScope } from '../../lib/bus/handler-scope.js';
import type { PublishStage } from '../../lib/bus/publisher.js';
import { resolveOptions } from '../../lib/bus/resolved-options.js';
import type { InboxStore } from '../../lib/core/inbox.js';
import type { Message } from '../../lib/core/message.js';
import {
  DirectExchange,
  type EventBusOptions,
  type EventContext,
  fixed,
  JsonSerializer,
  MemoryTransport,
  PublishRejectedError,
  TopicExchange,
  type Transport,
} from '../../lib/index.js';
import { AppBench } from '../../lib/testing/contract/app.bench.js';
import type { ContractHarness } from '../../lib/testing/contract/contract.js';
import { HOLD, listen } from '../../lib/testing/contract/listener.js';
import { Log } from '../../lib/testing/contract/log.js';
import { createMessage } from '../../lib/testing/contract/message.factory.js';
import { until } from '../../lib/testing/contract/until.js';
import { isReachable, RABBITMQ } from '../support/brokers.js';
import { createRabbitMqHarness } from '../support/rabbitmq.harness.js';

const SETTINGS = { timeoutMs: 1_000, window: 100, messages: 100, bytes: 100_000, onFull: 'reject', retain: 0 } as const;
const harnesses: (readonly [string, ContractHarness])[] = [
  ['memory', { createTransport: async () => new MemoryTransport(SETTINGS), shared: false, skip: [] }],
];
if (await isReachable(RABBITMQ)) harnesses.push(['RabbitMQ', await createRabbitMqHarness(RABBITMQ.url)]);

/** A bus without Nest, with what the test puts into it. */
async function withBus(
  over: Partial<EventBusParts> & { handlers?: readonly HandlerRegistration[]; raw?: EventBusOptions },
  test: (bus: EventBus, transport: Transport) => Promise<void>,
): Promise<void> {
  const { handlers = [], raw = {}, ...parts } = over;
  const transport = new MemoryTransport(SETTINGS);
  const bus = new EventBus({
    name: 'default',
    options: resolveOptions({ service: 'seams', consume: { retry: fixed({ attempts: 3, delayMs: 10 }) }, ...raw }),
    transport,
    exchange: new TopicExchange(),
    serializer: new JsonSerializer(),
    scope: new HandlerScope(),
    logger: { log: () => undefined, warn: () => undefined, error: () => undefined },
    ...parts,
  });
  try {
    await bus.prepare(handlers);
    await bus.start();
    await test(bus, transport);
  } finally {
    await bus.close();
  }
}

const GROUP = 'seams.group';
function handler(invoke: (payload: unknown, context: EventContext) => unknown): HandlerRegistration {
  const idempotent = { windowMs: 60_000 };
  return {
    place: 'the test',
    group: GROUP,
    delivery: 'shared',
    rules: [{ pattern: '#' }],
    policy: {},
    idempotent,
    invoke,
  };
}

describe('publish stage', () => {
  it("answers 'stored': the receipt says so, nothing goes to the transport, nobody is warned", async () => {
    const kept: { topic: string; exchange: string; timeoutMs: number | undefined }[] = [];
    const warnings: string[] = [];
    const stage: PublishStage = {
      send: async (target, { topic }, { timeoutMs }) => {
        kept.push({ topic, exchange: target.kind === 'exchange' ? target.exchange.name : '', timeoutMs });
        return { state: 'stored' };
      },
    };
    const seen = new Log<unknown>('events');
    const logger = { log: () => undefined, warn: (text: string) => void warnings.push(text), error: () => undefined };
    await withBus({ stage, logger, handlers: [handler(seen.add)] }, async (bus) => {
      const receipt = await bus.publish('orders.created', 1, { timeoutMs: 77, unroutable: 'reject' });
      expect(receipt).toEqual({ id: expect.any(String), topic: 'orders.created', state: 'stored' });
      await bus.broadcast('cache.clear', 1);
      expect(kept).toEqual([
        { topic: 'orders.created', exchange: 'events', timeoutMs: 77 },
        { topic: 'cache.clear', exchange: 'events.broadcast', timeoutMs: undefined },
      ]);
      await seen.settle(0);
      expect(bus.stats()).toMatchObject({ published: 2, confirmed: 0, failed: 0, unroutable: 0 });
    });
    expect(warnings).toEqual([]);
  });

  it('fails: the publish rejects with its error and is counted', async () => {
    const stage: PublishStage = { send: () => Promise.reject(new PublishRejectedError('outbox full')) };
    await withBus({ stage }, async (bus) => {
      await expect(bus.publish('orders.created', 1)).rejects.toThrow('outbox full');
      expect(bus.stats()).toMatchObject({ published: 1, confirmed: 0, failed: 1 });
    });
  });
});

/** Remembers as an inbox does, and what it was asked. */
class FakeInbox implements InboxStore {
  readonly calls: string[] = [];
  readonly states = new Map<string, 'busy' | 'done'>();

  async claim(group: string, id: string, leaseMs: number): Promise<'new' | 'done' | 'busy'> {
    this.calls.push(`claim ${group} ${id} ${leaseMs}`);
    const state = this.states.get(id) ?? 'new';
    if (state === 'new') this.states.set(id, 'busy');
    return state;
  }
  async done(group: string, id: string): Promise<void> {
    this.calls.push(`done ${group} ${id}`);
    this.states.set(id, 'done');
  }
  async forget(group: string, id: string): Promise<void> {
    this.calls.push(`forget ${group} ${id}`);
    this.states.delete(id);
  }
}

describe('inbox', () => {
  it('a duplicate has no second effect and is counted', async () => {
    const store = new FakeInbox();
    const seen = new Log<unknown>('effects');
    await withBus({ inbox: store, handlers: [handler(seen.add)] }, async (bus) => {
      await bus.publish('orders.created', 1, { id: 'a' });
      await seen.reach(1);
      await until('it is done', () => store.states.get('a') === 'done');
      await bus.publish('orders.created', 1, { id: 'a' });
      await until('the duplicate came', () => bus.stats().groups[GROUP]?.duplicates === 1);
      expect(bus.stats().groups[GROUP]).toMatchObject({ handled: 1, duplicates: 1 });
      expect(seen.items).toEqual([1]);
      expect(store.calls).toEqual([`claim ${GROUP} a 70000`, `done ${GROUP} a`, `claim ${GROUP} a 70000`]);
    });
  });

  it('what failed is forgotten and runs again', async () => {
    const store = new FakeInbox();
    const attempts = new Log<number>('attempts');
    const invoke = (_: unknown, { attempt }: EventContext): void => {
      attempts.add(attempt);
      if (attempt === 1) throw new Error('again');
    };
    await withBus({ inbox: store, handlers: [handler(invoke)] }, async (bus) => {
      await bus.publish('orders.created', 1, { id: 'a' });
      expect(await attempts.settle(2)).toEqual([1, 2]);
      expect(store.calls.map((call) => call.split(' ')[0])).toEqual(['claim', 'forget', 'claim', 'done']);
    });
  });

  it('busy elsewhere: it comes later, without an attempt counted, and then is a duplicate or runs', async () => {
    const store = new FakeInbox();
    store.states.set('a', 'busy');
    const attempts = new Log<number>('attempts');
    const handlers = [handler((_, { attempt }) => attempts.add(attempt))];
    await withBus({ inbox: store, handlers }, async (bus) => {
      await bus.publish('orders.created', 1, { id: 'a' });
      await until('it came twice', () => store.calls.length >= 2);
      expect(attempts.items).toEqual([]);
      store.states.delete('a'); // the lease of the other one has ended
      expect(await attempts.settle(1)).toEqual([1]);
      expect(bus.stats().groups[GROUP]).toMatchObject({ handled: 1, deadLettered: 0 });
    });
  });
});

describe('middleware', () => {
  it('runs in the order given, outermost first, on the way out and in; errors pass through', async () => {
    const order = new Log<string>('steps');
    const around =
      <C>(name: string) =>
      async (_: C, next: () => Promise<void>) => {
        order.add(`${name} before`);
        await next();
        order.add(`${name} after`);
      };
    const refuse = async ({ message }: { message: Message }, next: () => Promise<void>): Promise<void> => {
      if (message.topic === 'refused') throw new Error('refused by middleware');
      await next();
    };
    const parts = {
      publishMiddleware: [around<{ message: Message }>('out 1'), around<{ message: Message }>('out 2'), refuse],
      consumeMiddleware: [around<EventContext>('in 1'), around<EventContext>('in 2')],
      handlers: [handler(() => order.add('handler'))],
    };
    await withBus(parts, async (bus) => {
      await bus.publish('orders.created', 1);
      await order.reach(9);
      const out = order.items.filter((step) => step.startsWith('out'));
      const into = order.items.filter((step) => !step.startsWith('out'));
      expect(out).toEqual(['out 1 before', 'out 2 before', 'out 2 after', 'out 1 after']);
      expect(into).toEqual(['in 1 before', 'in 2 before', 'handler', 'in 2 after', 'in 1 after']);
      await expect(bus.publish('refused', 1)).rejects.toThrow('refused by middleware');
    });
  });

  it('on the way out can replace the message, and must not drop it silently', async () => {
    const seen = new Log<unknown>('headers');
    const stamp = async (context: { message: Message }, next: () => Promise<void>): Promise<void> => {
      if (context.message.topic === 'dropped') return;
      context.message = { ...context.message, headers: { stamped: true } };
      await next();
    };
    await withBus(
      { publishMiddleware: [stamp], handlers: [handler((_, c) => seen.add({ ...c.headers }))] },
      async (bus) => {
        await bus.publish('orders.created', 1);
        expect(await seen.settle(1)).toEqual([{ stamped: true }]);
        await expect(bus.publish('dropped', 1)).rejects.toThrow(/did not call next/);
      },
    );
  });

  it('on the way in that does not call next handles the event itself; its error is retried', async () => {
    const attempts = new Log<string>('attempts');
    const gate = async ({ topic, attempt }: EventContext, next: () => Promise<void>): Promise<void> => {
      attempts.add(`${topic} ${attempt}`);
      if (topic === 'skipped') return;
      if (attempt === 1) throw new Error('not yet');
      await next();
    };
    const seen = new Log<unknown>('events');
    await withBus({ consumeMiddleware: [gate], handlers: [handler(seen.add)] }, async (bus) => {
      await bus.publish('skipped', 1);
      await bus.publish('orders', 2);
      expect(await seen.settle(1)).toEqual([2]);
      expect([...(await attempts.settle(3))].toSorted()).toEqual(['orders 1', 'orders 2', 'skipped 1']);
    });
  });
});

describe.each(harnesses)('several exchanges on one %s transport', (_, harness) => {
  it('each routes by its own rule, and one source can be bound to both', async () => {
    const bench = new AppBench(harness);
    try {
      const direct = bench.newExchange('direct', new DirectExchange());
      const both = bench.shared('both', { bindings: [...bench.bind('a.*'), { exchange: direct, pattern: 'b.*' }] });
      const transport = await bench.open(both);
      const { messages, deliveries } = await listen(transport, both, HOLD);
      expect(await bench.publish(transport, createMessage('a.x'))).toEqual({ routed: true });
      expect(await bench.publish(transport, createMessage('a.x'), direct)).toMatchObject({ routed: false });
      expect(await bench.publish(transport, createMessage('b.*'), direct)).toEqual({ routed: true });
      expect(await bench.publish(transport, createMessage('b.x'), direct)).toMatchObject({ routed: false });
      await deliveries.settle(2);
      expect(messages.map(({ topic }) => topic).toSorted()).toEqual(['a.x', 'b.*']);
    } finally {
      await bench.dispose();
    }
  });
});
