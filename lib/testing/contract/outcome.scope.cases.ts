import assert from 'node:assert/strict';
import { type CanActivate, Inject, Injectable, Scope, UseGuards } from '@nestjs/common';
import { type ContextId, ContextIdFactory, type ContextIdStrategy, REQUEST } from '@nestjs/core';
import type { EventContext } from '../../bus/event-context.js';
import { OnEvent } from '../../decorators/on-event.decorator.js';
import type { ContractCase } from './contract.js';
import { outcomeCase } from './contract-case.js';
import { Log } from './log.js';

/** Gives every tenant an instance of its own, as Nest's documentation shows. */
class TenantStrategy implements ContextIdStrategy {
  private readonly tenants = new Map<unknown, ContextId>();

  attach(contextId: ContextId, { headers: { tenant } }: EventContext): ReturnType<ContextIdStrategy['attach']> {
    const own = this.tenants.get(tenant) ?? ContextIdFactory.create();
    this.tenants.set(tenant, own);
    return { resolve: ({ isTreeDurable }) => (isTreeDurable ? own : contextId), payload: { tenant } };
  }
}

/** Runs with a strategy, which Nest keeps for the whole process, and puts back the one before. */
async function withStrategy(strategy: ContextIdStrategy, run: () => Promise<void>): Promise<void> {
  const nest = ContextIdFactory as unknown as { strategy?: ContextIdStrategy };
  const before = nest.strategy;
  ContextIdFactory.apply(strategy);
  try {
    await run();
  } finally {
    Object.assign(nest, { strategy: before });
  }
}

/** Which instance handles. */
export const SCOPE_CASES: readonly ContractCase[] = [
  outcomeCase('a request-scoped handler is a new object for each event, with its context as REQUEST', async (bench) => {
    const seen = new Log<readonly [instance: number, isOwn: boolean, payload: unknown]>('events');
    let instances = 0;
    @Injectable({ scope: Scope.REQUEST })
    class OrderListener {
      private readonly instance = ++instances;
      constructor(@Inject(REQUEST) private readonly request: unknown) {}
      @OnEvent('order', { concurrency: 1 })
      on(payload: unknown, context: EventContext): void {
        seen.add([this.instance, this.request === context, payload]);
      }
    }
    const { bus } = await bench.start({ providers: [OrderListener] });
    for (const n of [1, 2, 3]) await bus.publish('order', n);
    const handled = await seen.settle(3);
    assert.equal(new Set(handled.map(([instance]) => instance)).size, 3);
    assert.deepEqual(
      handled.map(([, isOwn]) => isOwn),
      [true, true, true],
    );
    assert.deepEqual(new Set(handled.map(([, , payload]) => payload)), new Set([1, 2, 3]));
  }),

  outcomeCase(
    'a request-scoped dependency makes its handler request-scoped; failures and guards work alike',
    async (bench) => {
      const seen = new Log<readonly [unit: number, attempt: number]>('events');
      let units = 0;
      @Injectable({ scope: Scope.REQUEST })
      class UnitOfWork {
        readonly id = ++units;
      }
      @Injectable({ scope: Scope.REQUEST })
      class UnitGuard implements CanActivate {
        constructor(private readonly unit: UnitOfWork) {}
        canActivate(): boolean {
          return this.unit.id > 0;
        }
      }
      @Injectable()
      class OrderListener {
        constructor(private readonly unit: UnitOfWork) {}
        @UseGuards(UnitGuard)
        @OnEvent('order')
        on(_payload: unknown, { attempt }: EventContext): void {
          seen.add([this.unit.id, attempt]);
          if (attempt === 1) throw new Error('again');
        }
      }
      const { bus } = await bench.start({ providers: [OrderListener, UnitOfWork] });
      await bus.publish('order', 1);
      const [first, second] = await seen.settle(2);
      assert.deepEqual([first?.[1], second?.[1]], [1, 2]);
      assert.notEqual(first?.[0], second?.[0], 'each attempt has a unit of its own');
    },
  ),

  outcomeCase('a transient handler is one object for all its events', async (bench) => {
    const seen = new Log<number>('events');
    let instances = 0;
    @Injectable({ scope: Scope.TRANSIENT })
    class OrderListener {
      private readonly instance = ++instances;
      @OnEvent('order')
      on(): void {
        seen.add(this.instance);
      }
    }
    const { bus } = await bench.start({ providers: [OrderListener] });
    for (const n of [1, 2]) await bus.publish('order', n);
    const [first, second] = await seen.settle(2);
    assert.equal(first, second);
    assert.notEqual(first, undefined, 'its constructor ran');
  }),

  outcomeCase('a durable handler is one object for each tenant', (bench) =>
    withStrategy(new TenantStrategy(), async () => {
      const seen = new Log<string>('events');
      let instances = 0;
      @Injectable({ scope: Scope.REQUEST, durable: true })
      class OrderListener {
        private readonly instance = ++instances;
        constructor(@Inject(REQUEST) private readonly request: { readonly tenant: string }) {}
        @OnEvent('order')
        on(): void {
          seen.add(`${this.request.tenant} ${this.instance}`);
        }
      }
      const { bus } = await bench.start({ providers: [OrderListener] });
      for (const [index, tenant] of ['acme', 'acme', 'globex', 'acme'].entries()) {
        await bus.publish('order', 1, { headers: { tenant } });
        await seen.reach(index + 1);
      }
      assert.deepEqual(await seen.settle(4), ['acme 1', 'acme 1', 'globex 2', 'acme 1']);
    }),
  ),
];
