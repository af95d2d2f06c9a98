import 'reflect-metadata';
import { describe, expect, it } from '@jest/globals';
import { Global, Inject, Injectable, Module } from '@nestjs/common';
import {
  ConfigurationError,
  type EventBusModuleOptions,
  type EventContext,
  JsonSerializer,
  type MessageHead,
  OnEvent,
  type Serializer,
  TopicExchange,
} from '../../lib/index.js';
import { Log } from '../../lib/testing/contract/log.js';
import { isReachable, RABBITMQ } from '../support/brokers.js';
import { type Lab, withLab } from '../support/lab.js';

const reachable = await isReachable(RABBITMQ);
const urls = ['memory:', ...(reachable ? [RABBITMQ.url] : [])].map(
  (url) => [url.split(':', 1)[0] as string, url] as const,
);

/** The exchanges of a lab have its name in front, so that tests do not meet at the broker. */
function named(lab: Lab, name: string): string {
  return lab.willRemoveExchange(`${lab.name}.${name}`);
}

describe.each(urls)('several exchanges on %s', (_, url) => {
  it(
    'keep events of the same topic apart, with retries and broadcasts',
    withLab(url, async (lab) => {
      const audit = named(lab, 'audit');
      const documents = named(lab, 'documents');
      const main = new Log<unknown>('main');
      const audited = new Log<unknown>('audit');
      const pdfs = new Log<unknown>('pdf');
      const retry = { delaysMs: [20] };

      @Injectable()
      class Listener {
        private failures = 0;

        @OnEvent('orders.*', { retry })
        onOrder(payload: unknown): void {
          main.add(payload);
        }

        @OnEvent('orders.deleted', { exchange: audit, retry })
        onAudit(payload: unknown, { attempt, topic }: EventContext): void {
          if (this.failures++ === 0) throw new Error('the first time');
          audited.add([payload, topic, attempt]);
        }

        @OnEvent('', { exchange: documents, headers: { format: 'pdf' }, match: 'all', retry })
        onPdf(payload: unknown): void {
          pdfs.add(payload);
        }
      }
      const { bus } = await lab.boot({
        providers: [Listener],
        options: { exchanges: { [audit]: 'fanout', [documents]: { type: 'headers' } } },
      });
      expect(await bus.publish('orders.created', 1)).toMatchObject({ routed: true });
      expect(await bus.publish('users.created', 2, { exchange: audit })).toMatchObject({ routed: true });
      const upload = { exchange: documents, headers: { format: 'pdf', pages: 3 } };
      expect(await bus.publish('upload', 3, upload)).toMatchObject({ routed: true });
      const text = { ...upload, headers: { format: 'txt' }, unroutable: 'ignore' as const };
      expect(await bus.publish('upload', 4, text)).toMatchObject({ routed: false });
      expect(await main.settle(1)).toEqual([1]);
      expect(await audited.settle(1)).toEqual([[2, 'users.created', 2]]);
      expect(await pdfs.settle(1)).toEqual([3]);

      await bus.broadcast('orders.created', 5);
      await bus.broadcast('anything', 6, { exchange: audit });
      await bus.broadcast('upload', 7, upload);
      expect(await main.settle(2)).toEqual([1, 5]);
      expect(await audited.settle(2)).toEqual([
        [2, 'users.created', 2],
        [6, 'anything', 1],
      ]);
      expect(await pdfs.settle(2)).toEqual([3, 7]);
      expect(bus.describe()).toMatchObject({
        exchange: { name: lab.exchange, type: 'topic' },
        exchanges: [
          { name: audit, type: 'fanout' },
          { name: documents, type: 'headers' },
        ],
      });
    }),
  );

  it(
    'can be subscribed to, observed and emitted to from code',
    withLab(url, async (lab) => {
      const audit = named(lab, 'audit');
      const seen = new Log<unknown>('seen');
      const { bus } = await lab.boot({ options: { exchanges: { [audit]: 'direct' } } });
      const group = lab.willRemoveGroup(`${lab.name}.auditors`);
      await bus.subscribe('exact', (payload) => seen.add(['group', payload]), { exchange: audit, group });
      await bus.subscribe('exact', (payload) => seen.add(['private', payload]), { exchange: audit });
      await bus.subscribe('start', (_, context) => context.emit('exact', 'emitted', { exchange: audit }));
      const watching = new Promise<void>((resolve) => {
        bus
          .observe('exact', { exchange: audit, onReady: resolve })
          .subscribe(({ payload }) => seen.add(['rx', payload]));
      });
      await watching;
      await bus.publish('exact', 'elsewhere', { unroutable: 'ignore' });
      await bus.publish('start', 0);
      const events = await seen.settle(3);
      expect(new Set(events)).toEqual(
        new Set([
          ['group', 'emitted'],
          ['private', 'emitted'],
          ['rx', 'emitted'],
        ]),
      );
    }),
  );

  it(
    'that nobody has declared are refused, at start and when publishing',
    withLab(url, async (lab) => {
      const audit = named(lab, 'audit');
      class Listener {
        @OnEvent('x', { exchange: 'audti' })
        on(): void {}
      }
      const options = { exchanges: { [audit]: 'fanout' } } as const;
      const error = await lab.bootFails({ providers: [Listener], options });
      expect(error).toBeInstanceOf(ConfigurationError);
      expect(error.message).toMatch(/Listener\.on \(\w+\): This bus has no exchange "audti"/);
      const { bus } = await lab.boot({ options });
      await expect(bus.publish('x', 1, { exchange: `${audit}x` })).rejects.toThrow(`Did you mean "${audit}"?`);
      await expect(bus.subscribe('x', () => undefined, { exchange: 'nowhere' })).rejects.toThrow(ConfigurationError);
      expect(bus.stats()).toMatchObject({ published: 1, failed: 1 });
    }),
  );

  it(
    'belong to a group as a whole',
    withLab(url, async (lab) => {
      const audit = named(lab, 'audit');
      class Listener {
        @OnEvent('a', { group: 'one' })
        a(): void {}
        @OnEvent('b', { group: 'one', exchange: audit })
        b(): void {}
      }
      const error = await lab.bootFails({ providers: [Listener], options: { exchanges: { [audit]: 'topic' } } });
      expect(error.message).toMatch(/ask for different exchange/);
    }),
  );
});

@Injectable()
class Tenants {
  readonly names = ['acme', 'globex'];
}

@Global()
@Module({ providers: [Tenants], exports: [Tenants] })
class TenantModule {}

/** Topics of unknown tenants reach nobody. */
@Injectable()
class TenantExchange extends TopicExchange {
  constructor(@Inject(Tenants) private readonly tenants: Tenants) {
    super();
  }

  override matches(...args: Parameters<TopicExchange['matches']>): boolean {
    return this.tenants.names.includes(args[1].topic.split('.', 1)[0] ?? '') && super.matches(...args);
  }
}

@Injectable()
class TenantSerializer implements Serializer {
  readonly contentType = 'application/x-tenant';
  private readonly json = new JsonSerializer();

  constructor(@Inject(Tenants) private readonly tenants: Tenants) {}

  encode(payload: unknown, { topic }: MessageHead): Uint8Array {
    return this.json.encode([this.tenants.names.length, topic, payload]);
  }

  decode(body: Uint8Array): unknown {
    return this.json.decode(body);
  }
}

describe('a part of the user', () => {
  const boot = async (lab: Lab, options: EventBusModuleOptions) => {
    const seen = new Log<unknown>('seen');
    @Injectable()
    class Listener {
      @OnEvent('#')
      on(payload: unknown): void {
        seen.add(payload);
      }
    }
    const { bus } = await lab.boot({ imports: [TenantModule], providers: [Listener], options });
    return { bus, seen };
  };

  it(
    'may have fields for methods',
    withLab(undefined, async (lab) => {
      const json = new JsonSerializer();
      class Fields implements Serializer {
        readonly contentType = 'application/json';
        readonly encode = (payload: unknown) => json.encode([payload]);
        readonly decode = (body: Uint8Array) => json.decode(body);
      }
      const { bus, seen } = await boot(lab, { serializer: Fields });
      await bus.publish('acme.order', 1);
      expect(await seen.settle(1)).toEqual([[1]]);
    }),
  );

  it.each<readonly [string, EventBusModuleOptions]>([
    ['as a class', { exchange: TenantExchange }],
    ['as a class with a name', { exchange: { name: 'tenants', handler: TenantExchange } }],
    ['by its type', { exchange: { type: 'topic' }, exchangeHandlers: [TenantExchange] }],
  ])('routes, made by the container: %s', async (_, options) => {
    await withLab(undefined, async (lab) => {
      const { bus, seen } = await boot(lab, options);
      expect(await bus.publish('acme.order', 1)).toMatchObject({ routed: true });
      expect(await bus.publish('other.order', 2, { unroutable: 'ignore' })).toMatchObject({ routed: false });
      expect(await seen.settle(1)).toEqual([1]);
    })();
  });

  it(
    'writes and reads payloads, made by the container',
    withLab(undefined, async (lab) => {
      const { bus, seen } = await boot(lab, { serializer: TenantSerializer });
      await bus.publish('acme.order', { id: 1 });
      expect(await seen.settle(1)).toEqual([[2, 'acme.order', { id: 1 }]]);
    }),
  );

  it.each<readonly [string, unknown, RegExp]>([
    ['a rule that is unknown', { exchange: { type: 'tenat' } }, /exchange\.type must be one of "topic", .*/],
    [
      'a rule that is unknown among own ones',
      { exchanges: { audit: 'topi' }, exchangeHandlers: [TenantExchange] },
      /exchanges\["audit"\]\.type is unknown\. Did you mean "topic"\?/,
    ],
    ['a function that is no class', { exchange: () => 1 }, /exchange must be an object, not a function/],
    ['a class of something else', { exchange: class {} }, /exchange must have the methods assertRule/],
    [
      'a serializer that cannot decode',
      {
        serializer: class {
          encode() {}
        },
      },
      /serializer must have the method decode/,
    ],
    ['an unknown serializer', { accept: ['jsno'] }, /accept\[0\] must be one of .*Did you mean "json"/],
    ['the main exchange twice', { exchange: 'a', exchanges: { a: 'topic' } }, /exchanges\["a"\] is the main exchange/],
    ['a name that is taken', { exchange: 'a', exchanges: { 'a.broadcast': 'topic' } }, /belongs to the exchange "a"/],
    [
      'a main exchange with a name that is taken',
      { exchange: 'a.broadcast', exchanges: { a: 'topic' } },
      /exchange has the name of something that belongs to the exchange "a"/,
    ],
    [
      'a type beside a rule',
      { exchange: { type: 'fanout', handler: TenantExchange } },
      /exchange has a type and a handler: leave the type out/,
    ],
    [
      'two rules of one type',
      { exchange: { type: 'topic' }, exchangeHandlers: [TenantExchange, TenantExchange] },
      /two rules/,
    ],
    [
      'a rule without a type',
      { exchange: Object.assign(new TopicExchange(), { type: undefined }) },
      /exchange: type of the rule must be a text/,
    ],
    ['a name with spaces', { exchanges: { 'a b': 'topic' } }, /exchanges\["a b"\] as a name must be/],
  ])('is refused: %s', async (_, options, text) => {
    await withLab(undefined, async (lab) => {
      const error = await lab.bootFails({ imports: [TenantModule], options: options as EventBusModuleOptions });
      expect(error).toBeInstanceOf(ConfigurationError);
      expect(error.message).toMatch(text);
    })();
  });

  it(
    'that the container cannot make is told with the reason',
    withLab(undefined, async (lab) => {
      const error = await lab.bootFails({ options: { exchange: TenantExchange } });
      expect(error.message).toMatch(/exchange: TenantExchange cannot be made: .*Tenants/s);
    }),
  );
});
