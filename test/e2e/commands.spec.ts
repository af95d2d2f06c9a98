import 'reflect-metadata';
import { describe, expect, it } from '@jest/globals';
import { Injectable } from '@nestjs/common';
import {
  CloudEventsSerializer,
  Command,
  Event,
  EventBusModule,
  EventBusService,
  encrypted,
  InjectEventBus,
  MsgpackSerializer,
  OnCommand,
  ProtobufSerializer,
  RemoteError,
  type Serializer,
} from '../../lib/index.js';
import { commandHandler, rejection, remoteError } from '../../lib/testing/contract/commands.js';
import { isReachable, RABBITMQ } from '../support/brokers.js';
import { withLab } from '../support/lab.js';

const reachable = await isReachable(RABBITMQ);
const transports = ['memory:', ...(reachable ? [RABBITMQ.url] : [])].map(
  (url) => [url.split(':', 1)[0] as string, url] as const,
);

interface OrderId {
  readonly id: string;
}

@Event('orders.place')
class PlaceOrder extends Command<OrderId> {
  constructor(readonly article: string) {
    super();
  }
}

class OutOfStock extends Error {
  override readonly name = 'OutOfStock';
  readonly code = 'OUT_OF_STOCK';
  readonly details = { left: 0 };
}

@Injectable()
class Orders {
  @OnCommand(PlaceOrder)
  place({ article }: PlaceOrder): OrderId | undefined {
    if (article === 'gold') throw new OutOfStock('none left');
    return article === 'air' ? undefined : { id: `id of ${article}` };
  }
}

@Event('orders.list')
class ListOrders extends Command<OrderId> {
  constructor(readonly article: string) {
    super();
  }
}

const PROTO = `
  syntax = "proto3";
  message PlaceOrder { string article = 1; }
  message OrderId { string id = 1; }
  message Failure { string name = 1; string message = 2; string code = 3; bool retryable = 4; string stack = 5; }
`;

const LIST_TYPES = { 'orders.list': 'PlaceOrder', 'orders.list.reply': 'OrderId' } as const;

const PROTOBUF = (types: Readonly<Record<string, string>> = {}): Promise<Serializer> =>
  ProtobufSerializer.load({
    source: PROTO,
    types: { 'orders.place': 'PlaceOrder', 'orders.place.reply': 'OrderId', ...LIST_TYPES, ...types },
  });

/** Serializers that need a package of their own, or say more of a message than its payload. */
const SERIALIZERS: Readonly<Record<string, () => Promise<Serializer>>> = {
  msgpack: () => MsgpackSerializer.load(),
  'CloudEvents in headers': async () => new CloudEventsSerializer({ mode: 'binary' }),
  'CloudEvents in the body': async () => new CloudEventsSerializer({ mode: 'structured' }),
  protobuf: () => PROTOBUF(),
};

describe.each(transports)('commands on %s', (_, url) => {
  it(
    'have typed answers and typed errors',
    withLab(url, async (lab) => {
      lab.willRemoveGroup(`${lab.exchange}.command.orders.place`);
      const { bus } = await lab.boot({ providers: [Orders] });
      const { id } = await bus.request(new PlaceOrder('tea'));
      expect(id satisfies string).toBe('id of tea');
      const error = await rejection(bus.request(new PlaceOrder('gold')));
      expect(error).toBeInstanceOf(RemoteError);
      expect(error).toMatchObject({ name: 'OutOfStock', code: 'OUT_OF_STOCK', message: 'none left' });
      expect(bus.stats().pendingRequests).toBe(0);
    }),
  );

  it(
    'warn of an error that nobody meant as an answer where it happened, and not of one that was meant',
    withLab(url, async (lab) => {
      lab.willRemoveGroup(`${lab.exchange}.command.orders.place`);
      lab.willRemoveGroup(`${lab.exchange}.command.work`);
      const fault = (): never => {
        throw new TypeError('x is not a function');
      };
      const { bus } = await lab.boot({ providers: [Orders, commandHandler('work', fault)] });
      const warnings = (): readonly string[] => lab.lines.filter((line) => line.startsWith('warn '));
      expect(await rejection(bus.request(new PlaceOrder('gold')))).toMatchObject({ code: 'OUT_OF_STOCK' });
      expect(warnings()).toEqual([]);
      const { signal } = new AbortController();
      expect(await rejection(bus.request('work', 1, { signal }))).toMatchObject({ code: 'REMOTE', name: 'TypeError' });
      expect(warnings()).toEqual([
        expect.stringMatching(/^warn "work" \([\w-]+\) failed: TypeError: x is not a function$/),
      ]);
    }),
  );

  it.each(Object.keys(SERIALIZERS))('come through %s, errors and what has no value too', async (name) =>
    withLab(url, async (lab) => {
      lab.willRemoveGroup(`${lab.exchange}.command.orders.place`);
      const serializer = await SERIALIZERS[name]?.();
      const { bus } = await lab.boot({ providers: [Orders], options: { serializer: serializer as Serializer } });
      expect(await bus.request(new PlaceOrder('tea'))).toEqual({ id: 'id of tea' });
      expect(await bus.request(new PlaceOrder('air'))).toBeUndefined();
      const { code, message, details } = await remoteError(bus.request(new PlaceOrder('gold')));
      expect({ code, message, details }).toEqual({
        code: 'OUT_OF_STOCK',
        message: 'none left',
        details: { left: 0 },
      });
    })(),
  );

  it.each(Object.keys(SERIALIZERS))('in parts, come through %s, the end and errors too', async (name) =>
    withLab(url, async (lab) => {
      const list = commandHandler(ListOrders, async function* (payload) {
        const { article } = payload as ListOrders;
        for (const n of [1, 2, 3]) yield { id: `${n} ${article}` };
        if (article === 'gold') throw new OutOfStock('none left');
      });
      lab.willRemoveGroup(`${lab.exchange}.command.orders.list`);
      const serializer = await SERIALIZERS[name]?.();
      const { bus } = await lab.boot({ providers: [list], options: { serializer: serializer as Serializer } });
      const read: string[] = [];
      const readAll = async (article: string) => {
        for await (const { id } of bus.requestStream(new ListOrders(article))) read.push(id);
      };
      await readAll('tea');
      expect(await remoteError(readAll('gold'))).toMatchObject({ code: 'OUT_OF_STOCK', details: { left: 0 } });
      expect(read).toEqual(['1 tea', '2 tea', '3 tea', '1 gold', '2 gold', '3 gold']);
    })(),
  );

  it(
    'encrypted by a schema: errors are told as far as the schema has them, else only that there is one',
    withLab(url, async (lab) => {
      lab.willRemoveGroup(`${lab.exchange}.command.orders.place`);
      const failWith = async (protobuf: Serializer): Promise<RemoteError> => {
        const serializer = encrypted(protobuf, { keys: { one: Buffer.alloc(32, 1) }, activeKeyId: 'one' });
        const { app, bus } = await lab.boot({ providers: [Orders], options: { serializer } });
        expect(await bus.request(new PlaceOrder('tea'))).toEqual({ id: 'id of tea' });
        const error = await remoteError(bus.request(new PlaceOrder('gold')));
        await app.close();
        return error;
      };
      const told = await failWith(await PROTOBUF({ 'reply.error': 'Failure' }));
      expect(told).toMatchObject({ name: 'OutOfStock', code: 'OUT_OF_STOCK', message: 'none left' });
      expect(await failWith(await PROTOBUF())).toMatchObject({ name: 'Error', code: 'REMOTE' });
    }),
  );

  it(
    'belong to the bus that their handler names',
    withLab(url, async (lab) => {
      const other = lab.willRemoveExchange(`${lab.name}.other`);
      lab.willRemoveGroup(`${lab.exchange}.command.work`);
      lab.willRemoveGroup(`${other}.command.work`);
      @Injectable()
      class Caller {
        constructor(
          readonly one: EventBusService,
          @InjectEventBus('other') readonly two: EventBusService,
        ) {}
      }
      @Injectable()
      class Other {
        constructor(private readonly bus: EventBusService) {}
        @OnCommand('work', { bus: 'other' })
        async work(payload: unknown): Promise<unknown> {
          return ['other', await this.bus.request('work', payload)];
        }
      }
      const { app } = await lab.boot({
        imports: [EventBusModule.forRoot({ ...lab.options({ exchange: other }), name: 'other' })],
        providers: [commandHandler('work', (payload) => ['one', payload]), Other, Caller],
      });
      const { one, two } = app.get(Caller);
      expect(await one.request('work', 1)).toEqual(['one', 1]);
      expect(await two.request('work', 2)).toEqual(['other', ['one', 2]]);
    }),
  );
});
