import 'reflect-metadata';
import { describe, expect, it } from '@jest/globals';
import { Injectable, type OnModuleInit } from '@nestjs/common';
import { type Channel, connect } from 'amqplib';
import {
  EventBusModule,
  type EventBusModuleOptions,
  getEventBusToken,
  MemoryTransport,
  ProtobufSerializer,
  RendezvousService,
  RendezvousTimeoutError,
} from '../../lib/index.js';
import { BorrowedTransport } from '../../lib/microservices/borrowed.transport.js';
import { Log } from '../../lib/testing/contract/log.js';
import { until } from '../../lib/testing/contract/until.js';
import { isReachable, RABBITMQ } from '../support/brokers.js';
import { start } from '../support/child.js';
import { type Lab, withLab } from '../support/lab.js';
import { TcpProxy, withPort } from '../support/tcp-proxy.js';

const onRabbit = (await isReachable(RABBITMQ)) ? describe : describe.skip;
const SOON = { timeoutMs: 8_000 };

async function rendezvousIn(lab: Lab, options: EventBusModuleOptions = {}): Promise<RendezvousService> {
  const { app } = await lab.boot({ options });
  return app.get(RendezvousService, { strict: false });
}

/** One instance waits, another one comes. @param common options of both */
async function meet(lab: Lab, common: EventBusModuleOptions): Promise<readonly (readonly string[])[]> {
  const [one, two] = [await rendezvousIn(lab, common), await rendezvousIn(lab, common)];
  await one.announceReady(['early']);
  const met = Promise.all([one, two].map((each) => each.waitUntilReady({ early: 1, 'l?te.*': 1 }, SOON)));
  await two.announceReady(['late.one']);
  return (await met).map((members) => members.map(({ roles }) => String(roles)).toSorted());
}

const EVERYBODY = [
  ['early', 'late.one'],
  ['early', 'late.one'],
];

const SETTINGS: readonly [string, EventBusModuleOptions][] = [
  ...(['topic', 'direct', 'fanout', 'headers', 'x-rtopic'] as const).map((type): [string, EventBusModuleOptions] => [
    type,
    { exchange: { type } },
  ]),
  ...(['msgpack', 'structured', 'bytes'] as const).map((serializer): [string, EventBusModuleOptions] => [
    serializer,
    { serializer },
  ]),
  [
    'protobuf',
    { serializer: await ProtobufSerializer.load({ source: 'syntax = "proto3"; message A {}', types: { a: 'A' } }) },
  ],
];

const withName = (lab: Lab, { exchange, ...options }: EventBusModuleOptions): EventBusModuleOptions => ({
  ...options,
  exchange: { name: lab.exchange, ...(exchange as object) },
});

/** Works with a client of its own, as a team without this library has. */
async function withClient<T>(work: (channel: Channel) => Promise<T>): Promise<T> {
  const connection = await connect(RABBITMQ.url);
  try {
    return await work(await connection.createChannel());
  } finally {
    await connection.close();
  }
}

describe('the rendezvous of a module', () => {
  it.each(SETTINGS)('is the same in memory with %s', (_, options) =>
    withLab(undefined, async (lab) => {
      // two applications in one process, on one broker
      const transport = new BorrowedTransport(new MemoryTransport());
      expect(await meet(lab, { ...withName(lab, options), transport })).toEqual(EVERYBODY);
    })(),
  );

  it(
    'works from onModuleInit on, and refuses a factory that would wait for ever',
    withLab(undefined, async (lab) => {
      const met = new Log<number>('members');
      @Injectable()
      class Barrier implements OnModuleInit {
        readonly early: Promise<Error>;
        constructor(private readonly rendezvous: RendezvousService) {
          this.early = rendezvous.waitUntilReady({ self: 1 }).then(
            () => new Error('It waited.'),
            (error: Error) => error,
          );
        }
        async onModuleInit(): Promise<void> {
          await this.rendezvous.announceReady(['self']);
          met.add((await this.rendezvous.waitUntilReady({ self: 1 })).length);
        }
      }
      const { app } = await lab.boot({ providers: [Barrier] });
      expect(met.items).toEqual([1]);
      expect(await app.get(Barrier).early).toMatchObject({ name: 'ConfigurationError' });
    }),
  );

  it(
    'of a bus with a name has a token of its own, and meets nobody of the others',
    withLab(undefined, async (lab) => {
      const audit = EventBusModule.forRoot({ ...lab.options({ service: 'audit' }), name: 'audit' });
      const { app } = await lab.boot({ imports: [audit] });
      const named: RendezvousService = app.get(getEventBusToken('rendezvous', 'audit'), { strict: false });
      const plain = app.get(RendezvousService, { strict: false });
      expect(named).not.toBe(plain);
      await named.announceReady(['auditor']);
      await expect(plain.waitUntilReady({ auditor: 1 }, { timeoutMs: 200 })).rejects.toThrow(RendezvousTimeoutError);
    }),
  );

  it(
    'that nobody uses leaves no line in the log and nothing on the exchange',
    withLab(undefined, async (lab) => {
      const { app, bus } = await lab.boot();
      await app.close();
      expect([bus.status, bus.control.ignored]).toEqual(['closed', 0]);
      expect(lab.lines.filter((line) => !line.startsWith('log '))).toEqual([]);
    }),
  );
});

onRabbit('the rendezvous on RabbitMQ', () => {
  it.each(SETTINGS)('is the same with %s', (_, options) =>
    withLab(RABBITMQ.url, async (lab) => {
      expect(await meet(lab, withName(lab, options))).toEqual(EVERYBODY);
    })(),
  );

  it(
    'declares nothing until it is used, and leaves no queue after 20 waits',
    withLab(RABBITMQ.url, async (lab) => {
      const rendezvous = await rendezvousIn(lab);
      const isThere = (): Promise<boolean> =>
        withClient((channel) => {
          channel.on('error', () => undefined); // it is answered by a rejection
          return channel.checkExchange(`${lab.exchange}.control`).then(
            () => true,
            () => false,
          );
        }).catch(() => false);
      expect(await isThere()).toBe(false);
      const other = await rendezvousIn(lab);
      for (let times = 0; times < 20; times++) {
        await expect(rendezvous.waitUntilReady({ nobody: 1 }, { timeoutMs: 60 })).rejects.toThrow(
          RendezvousTimeoutError,
        );
      }
      expect(await isThere()).toBe(true);
      // an event comes back when no queue is bound: the ready message of a stranger would reach one
      await until('no queue is left', () => withClient((channel) => isUnheard(channel, `${lab.exchange}.control`)));
      await other.announceReady(['x']);
      expect(await withClient((channel) => isUnheard(channel, `${lab.exchange}.control`))).toBe(false);
    }),
  );

  it(
    'where nothing may be declared, says what is missing, and disturbs no publish; meets when it is there',
    withLab(RABBITMQ.url, async (lab) => {
      const { bus } = await lab.boot();
      const transport = { type: 'rabbitmq', url: RABBITMQ.url, assert: 'check' };
      const checking = await lab.boot({ options: { transport } });
      const rendezvous = checking.app.get(RendezvousService, { strict: false });
      const waited = rendezvous.waitUntilReady({ x: 1 }, SOON);
      await expect(waited).rejects.toMatchObject({ code: 'TOPOLOGY_CONFLICT', entity: `${lab.exchange}.control` });
      await expect(bus.control.send('test', {})).resolves.toBeUndefined();
      await expect(checking.bus.publish('a.b', 1, { unroutable: 'ignore' })).resolves.toMatchObject({
        state: 'confirmed',
      });
      await rendezvous.announceReady(['x']);
      await expect(rendezvous.waitUntilReady({ x: 1 }, SOON)).resolves.toHaveLength(1);
    }),
  );

  it(
    'waits for a broker that is not there yet, no longer than it may',
    withLab(RABBITMQ.url, async (lab) => {
      const proxy = await new TcpProxy(RABBITMQ.url).listen();
      try {
        proxy.refuse(true);
        const transport = withPort(RABBITMQ.url, proxy.port);
        const rendezvous = await rendezvousIn(lab, { transport, startup: { mode: 'background' } });
        await expect(rendezvous.waitUntilReady({ x: 1 }, { timeoutMs: 300 })).rejects.toMatchObject({
          name: 'RendezvousTimeoutError',
          cause: { name: 'ConnectionError' },
        });
        const met = rendezvous.waitUntilReady({ x: 1 }, { timeoutMs: 20_000 });
        const announced = rendezvous.announceReady(['x']);
        proxy.refuse(false);
        await announced;
        expect(await met).toHaveLength(1);
      } finally {
        await proxy.close();
      }
    }),
  );

  it(
    'a process that is killed is gone when its lease ends; one that is asked to stop at once',
    withLab(RABBITMQ.url, async (lab) => {
      const rendezvous = await rendezvousIn(lab);
      const changes = new Log<string>('changes');
      rendezvous.changes().subscribe(({ kind, member }) => changes.add(`${kind} ${member.roles[1]}`));
      const env = { TARGET: RABBITMQ.url, SERVICE: lab.service, EXCHANGE: lab.exchange, LEASE_MS: '2000' };
      const [killed, stopped] = [start('member.child', env), start('member.child', env)];
      try {
        await rendezvous.waitUntilReady({ worker: 2 }, { timeoutMs: 25_000 });
        killed.process.kill('SIGKILL');
        const diedAt = Date.now();
        await changes.reach(3);
        expect(changes.items[2]).toBe(`expired pid.${killed.process.pid}`);
        const ms = Date.now() - diedAt;
        expect([ms >= 1_000, ms < 6_000]).toEqual([true, true]);
        stopped.process.kill('SIGTERM');
        await changes.reach(4);
        expect(changes.items[3]).toBe(`left pid.${stopped.process.pid}`);
        expect(rendezvous.members()).toEqual([]);
      } finally {
        await Promise.all([killed.ended(5_000), stopped.ended(15_000)]);
      }
    }),
    60_000,
  );

  it(
    'a Python client is counted that publishes on the main exchange before and while somebody waits',
    withLab(RABBITMQ.url, async (lab) => {
      const rendezvous = await rendezvousIn(lab);
      await rendezvous.announceReady(['node']);
      const body = Buffer.from(
        JSON.stringify({ kind: 'ready', roles: ['python.1'], instance_id: 'f'.repeat(32), ts: 1_700_000_000.25 }),
      );
      await withClient(async (channel) => {
        channel.publish(lab.exchange, 'sys.rendezvous.ready', body, { deliveryMode: 1, headers: {} });
        expect(await rendezvous.waitUntilReady({ 'python.*': 1, node: 1 }, SOON)).toHaveLength(2);
      });
    }),
  );
});

/** Whether what is published there comes back. */
async function isUnheard(channel: Channel, exchange: string): Promise<boolean> {
  const returned = new Promise<boolean>((resolve) => channel.once('return', () => resolve(true)));
  channel.publish(exchange, '', Buffer.from('{"kind":"test"}'), { mandatory: true });
  // answers come in order: what comes back has come by then
  const answered = channel
    .checkExchange(exchange)
    .then(() => new Promise<boolean>((resolve) => setImmediate(resolve, false)));
  return Promise.race([returned, answered]);
}
