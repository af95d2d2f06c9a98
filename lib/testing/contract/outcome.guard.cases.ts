import assert from 'node:assert/strict';
import {
  type CanActivate,
  Controller,
  type ExecutionContext,
  Injectable,
  type Type,
  UnauthorizedException,
  UseGuards,
} from '@nestjs/common';
import { APP_GUARD } from '@nestjs/core';
import type { EventContext } from '../../bus/event-context.js';
import { OnEvent } from '../../decorators/on-event.decorator.js';
import type { ContractCase } from './contract.js';
import { outcomeCase } from './contract-case.js';
import { assertAcked, assertDead } from './outcome.js';

const FORBIDDEN = Object.freeze({ reason: 'forbidden', attempts: 1 });

@Injectable()
class Permissions {
  readonly allowed: readonly string[] = ['allowed'];
}

/** A guard that needs another provider: it must be made by Nest. */
@Injectable()
class PermissionGuard implements CanActivate {
  constructor(private readonly permissions: Permissions) {}

  canActivate(context: ExecutionContext): boolean {
    return this.permissions.allowed.includes(context.switchToRpc().getData<string>());
  }
}

function guarded(canActivate: CanActivate['canActivate'], calls: unknown[] = []): Type {
  @Injectable()
  class CaseGuard implements CanActivate {
    canActivate(context: ExecutionContext): ReturnType<CanActivate['canActivate']> {
      return canActivate(context);
    }
  }
  @Injectable()
  class OrderListener {
    @UseGuards(CaseGuard)
    @OnEvent('order')
    on(payload: unknown): void {
      calls.push(payload);
    }
  }
  return OrderListener;
}

/** A guard that denies ends it at the first attempt. */
export const GUARD_CASES: readonly ContractCase[] = [
  outcomeCase('a guard denies: dead as forbidden after one attempt, and the handler does not run', async (bench) => {
    const calls: unknown[] = [];
    const answers = [() => false, () => Promise.resolve(false)];
    for (const [index, answer] of answers.entries()) {
      const options = { service: `${bench.name}.${index}` };
      await assertDead(bench, guarded(answer, calls), FORBIDDEN, { options });
    }
    assert.deepEqual(calls, []);
  }),

  outcomeCase('a guard that throws UnauthorizedException: dead as forbidden', async (bench) => {
    const OrderListener = guarded(() => {
      throw new UnauthorizedException('no token');
    });
    await assertDead(bench, OrderListener, { ...FORBIDDEN, error: /no token/ });
  }),

  outcomeCase('a guard that breaks is no guard that denies: retried', async (bench) => {
    const OrderListener = guarded(() => Promise.reject(new Error('database away')));
    await assertDead(bench, OrderListener, { reason: 'attempts-exhausted', attempts: 3, error: /database away/ });
  }),

  outcomeCase('a guard that allows lets the event through, and sees payload and context', async (bench) => {
    const [calls, seen]: [unknown[], unknown[]] = [[], []];
    const OrderListener = guarded((context) => {
      const rpc = context.switchToRpc();
      const { topic, attempt } = rpc.getContext<EventContext>();
      seen.push([context.getType(), rpc.getData(), topic, attempt, context.getClass().name]);
      return true;
    }, calls);
    await assertAcked(bench, OrderListener, {}, 'payload');
    assert.deepEqual([seen, calls], [[['rpc', 'payload', 'order', 1, 'OrderListener']], ['payload']]);
  }),

  outcomeCase('a class guard of a controller, with dependencies, guards its events', async (bench) => {
    const calls: unknown[] = [];
    @Controller('orders')
    @UseGuards(PermissionGuard)
    class OrderController {
      @OnEvent('order')
      on(payload: unknown): void {
        calls.push(payload);
      }
    }
    const parts = { controllers: [OrderController], providers: [Permissions] };
    const options = { service: `${bench.name}.denied` };
    await assertDead(bench, OrderController, FORBIDDEN, { ...parts, options }, 'something');
    assert.deepEqual(calls, []);
    await assertAcked(bench, OrderController, { ...parts, options: { service: `${bench.name}.ok` } }, 'allowed');
    assert.deepEqual(calls, ['allowed']);
  }),

  outcomeCase('a class guard of a provider, with dependencies, guards its events', async (bench) => {
    @Injectable()
    @UseGuards(PermissionGuard)
    class OrderListener {
      @OnEvent('order')
      on(): void {}
    }
    await assertDead(bench, OrderListener, FORBIDDEN, { providers: [Permissions] }, 'something');
  }),

  outcomeCase(
    "global guards, pipes and the like run for events only with globalEnhancers: 'inherit'",
    async (bench) => {
      @Injectable()
      class DenyAll implements CanActivate {
        canActivate(): boolean {
          return false;
        }
      }
      @Injectable()
      class OrderListener {
        @OnEvent('order')
        on(): void {}
      }
      const providers = [{ provide: APP_GUARD, useClass: DenyAll }];
      const service = `${bench.name}.none`;
      await assertAcked(bench, OrderListener, { providers, options: { service } });
      const inherit = { service: `${bench.name}.inherit`, globalEnhancers: 'inherit' } as const;
      await assertDead(bench, OrderListener, FORBIDDEN, { providers, options: inherit });
    },
  ),
];
