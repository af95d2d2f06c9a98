import 'reflect-metadata';
import { describe, expect, it } from '@jest/globals';
import {
  type ArgumentsHost,
  BadRequestException,
  type CallHandler,
  type CanActivate,
  Catch,
  Controller,
  type ExceptionFilter,
  type ExecutionContext,
  Get,
  Inject,
  Injectable,
  Module,
  type NestInterceptor,
  type PipeTransform,
  Scope,
  type Type,
  UseGuards,
} from '@nestjs/common';
import {
  APP_FILTER,
  APP_GUARD,
  APP_INTERCEPTOR,
  APP_PIPE,
  type ContextId,
  ContextIdFactory,
  type ContextIdStrategy,
  REQUEST,
} from '@nestjs/core';
import type { Observable } from 'rxjs';
import { EventBusService, type EventContext, OnEvent } from '../../lib/index.js';
import { Log } from '../../lib/testing/contract/log.js';
import { until } from '../../lib/testing/contract/until.js';
import { type Lab, withLab } from '../support/lab.js';

function memory(test: (lab: Lab) => Promise<void>): () => Promise<void> {
  return withLab(undefined, test);
}

describe.each(['provider', 'controller'] as const)('a %s', (kind) => {
  const parts = (type: Type) => (kind === 'controller' ? { controllers: [type] } : { providers: [type] });
  const decorate = (type: Type, options: { scope?: Scope; durable?: boolean }): void => {
    (kind === 'controller' ? Controller(options) : Injectable(options))(type);
  };

  it(
    'that is request-scoped is new for each event, injected from its own module, with the context as REQUEST',
    memory(async (lab) => {
      const seen = new Log<readonly [instance: number, isOwn: boolean, secret: string]>('events');
      let [instances, guards] = [0, 0];
      @Injectable()
      class Secret {
        readonly text: string = 'only in the feature module';
      }
      @Injectable({ scope: Scope.REQUEST })
      class OwnGuard implements CanActivate {
        constructor(
          private readonly secret: Secret,
          @Inject(REQUEST) private readonly request: unknown,
        ) {
          guards++;
        }
        canActivate(context: ExecutionContext): boolean {
          return this.secret.text !== '' && this.request === context.switchToRpc().getContext();
        }
      }
      @UseGuards(OwnGuard)
      class OrderListener {
        private readonly instance = ++instances;
        constructor(
          @Inject(REQUEST) private readonly request: unknown,
          @Inject(Secret) private readonly secret: Secret,
        ) {}
        @OnEvent('orders.*')
        on(_payload: unknown, context: EventContext): void {
          seen.add([this.instance, this.request === context, this.secret.text]);
        }
      }
      decorate(OrderListener, { scope: Scope.REQUEST });
      const { providers = [], ...rest } = parts(OrderListener) as { providers?: Type[] };
      @Module({ providers: [Secret, ...providers], ...rest })
      class FeatureModule {}
      const { bus } = await lab.boot({ imports: [FeatureModule] });
      await Promise.all([1, 2, 3].map((n) => bus.publish('orders.created', n)));
      const handled = await seen.settle(3);
      expect(new Set(handled.map(([instance]) => instance)).size).toBe(3);
      expect(handled.map(([, ...others]) => others)).toEqual(Array(3).fill([true, 'only in the feature module']));
      expect(guards).toBe(3);
    }),
  );

  it(
    'that is durable has one instance for each tenant, and the payload of the strategy as REQUEST',
    memory(async (lab) => {
      const tenants = new Map<unknown, ContextId>();
      const strategy: ContextIdStrategy = {
        attach(contextId, { headers: { tenant } }: EventContext) {
          const own = tenants.get(tenant) ?? ContextIdFactory.create();
          tenants.set(tenant, own);
          return { resolve: (info) => (info.isTreeDurable ? own : contextId), payload: { tenant } };
        },
      };
      const nest = ContextIdFactory as unknown as { strategy?: ContextIdStrategy };
      const before = nest.strategy;
      ContextIdFactory.apply(strategy);
      try {
        const seen = new Log<string>('events');
        let instances = 0;
        class OrderListener {
          private readonly instance = ++instances;
          constructor(@Inject(REQUEST) private readonly request: { readonly tenant: string }) {}
          @OnEvent('orders.*')
          on(): void {
            seen.add(`${this.request.tenant} ${this.instance}`);
          }
        }
        decorate(OrderListener, { scope: Scope.REQUEST, durable: true });
        const { bus } = await lab.boot(parts(OrderListener));
        for (const [index, tenant] of ['acme', 'globex', 'acme', 'globex'].entries()) {
          await bus.publish('orders.created', 1, { headers: { tenant } });
          await seen.reach(index + 1);
        }
        const [acme, globex, ...again] = await seen.settle(4);
        expect([acme, globex].map((text) => text?.split(' ')[0])).toEqual(['acme', 'globex']);
        expect(again).toEqual([acme, globex]);
        expect(acme?.split(' ')[1]).not.toBe(globex?.split(' ')[1]);
      } finally {
        Object.assign(nest, { strategy: before });
      }
    }),
  );

  it(
    'that is transient is one object for its events',
    memory(async (lab) => {
      const seen = new Log<unknown>('events');
      class OrderListener {
        @OnEvent('orders.*')
        on(): void {
          seen.add(this);
        }
      }
      decorate(OrderListener, { scope: Scope.TRANSIENT });
      const { bus } = await lab.boot(parts(OrderListener));
      await bus.publish('orders.created', 1);
      await bus.publish('orders.created', 2);
      const [one, two] = await seen.settle(2);
      expect(one).toBeInstanceOf(OrderListener);
      expect(two).toBe(one);
    }),
  );
});

describe('global enhancers', () => {
  const calls: string[] = [];

  @Injectable()
  class GlobalGuard implements CanActivate {
    canActivate(context: ExecutionContext): boolean {
      calls.push(`guard ${context.getType()}`);
      return true;
    }
  }
  @Injectable()
  class GlobalInterceptor implements NestInterceptor {
    intercept(context: ExecutionContext, next: CallHandler): Observable<unknown> {
      calls.push(`interceptor ${context.getType()}`);
      return next.handle();
    }
  }
  @Injectable()
  class GlobalPipe implements PipeTransform {
    transform(value: unknown): unknown {
      calls.push('pipe');
      if (value === 'bad') throw new BadRequestException();
      return value;
    }
  }
  @Catch()
  class GlobalFilter implements ExceptionFilter {
    catch(error: unknown, host: ArgumentsHost): unknown {
      calls.push(`filter ${host.getType()}`);
      if (host.getType() !== 'http') return (error as Error).message === 'handled' ? 'handled' : undefined;
      host.switchToHttp().getResponse<{ status(code: number): { end(): void } }>().status(418).end();
      return undefined;
    }
  }
  const providers = [
    { provide: APP_GUARD, useClass: GlobalGuard },
    { provide: APP_INTERCEPTOR, useClass: GlobalInterceptor },
    { provide: APP_PIPE, useClass: GlobalPipe },
    { provide: APP_FILTER, useClass: GlobalFilter },
  ];

  function controller(seen: Log<unknown>) {
    @Controller('orders')
    class OrderController {
      @Get()
      get(): string {
        throw new Error('for HTTP');
      }
      @OnEvent('orders.*', { retry: false })
      on(payload: unknown): void {
        seen.add(payload);
        if (typeof payload === 'object') throw new Error(String((payload as { error: string }).error));
      }
    }
    return OrderController;
  }

  async function run(lab: Lab, options: object, useGlobals: boolean) {
    calls.length = 0;
    const seen = new Log<unknown>('events');
    const module = await lab.compile({
      options,
      controllers: [controller(seen)],
      ...(useGlobals ? {} : { providers }),
    });
    const app = lab.track(module.createNestApplication());
    if (useGlobals) {
      app.useGlobalGuards(new GlobalGuard());
      app.useGlobalInterceptors(new GlobalInterceptor());
      app.useGlobalPipes(new GlobalPipe());
      app.useGlobalFilters(new GlobalFilter());
    }
    await app.listen(0, '127.0.0.1');
    const bus = app.get(EventBusService);
    const stats = () => bus.stats().groups[`${lab.service}.OrderController.on`];
    await bus.publish('orders.created', 'good');
    await bus.publish('orders.created', { error: 'handled' });
    await until('both are settled', () => (stats()?.handled ?? 0) + (stats()?.deadLettered ?? 0) === 2);
    const forEvents = [...calls];
    calls.length = 0;
    const { status } = await fetch(`${await app.getUrl()}/orders`);
    return { forEvents, stats: stats(), status, forHttp: [...calls] };
  }

  describe.each([
    ['APP_ providers', false],
    ['useGlobal methods', true],
  ])('given as %s', (_, useGlobals) => {
    it(
      'are off by default, and HTTP keeps them',
      memory(async (lab) => {
        const { forEvents, forHttp, status, stats } = await run(lab, {}, useGlobals);
        expect(forEvents).toEqual([]);
        expect(stats).toMatchObject({ handled: 1, deadLettered: 1 });
        expect([forHttp, status]).toEqual([['guard http', 'interceptor http', 'filter http'], 418]);
      }),
    );

    it(
      "run for events with globalEnhancers: 'inherit'",
      memory(async (lab) => {
        const { forEvents, stats } = await run(lab, { globalEnhancers: 'inherit' }, useGlobals);
        const each = ['guard rpc', 'interceptor rpc', 'pipe'];
        expect(forEvents.toSorted()).toEqual([...each, ...each, 'filter rpc'].toSorted());
        expect(stats).toMatchObject({ handled: 2, deadLettered: 0 });
      }),
    );
  });
});
