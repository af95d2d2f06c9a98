import 'reflect-metadata';
import { expect, it } from '@jest/globals';
import { Injectable, type Type } from '@nestjs/common';
import type { ExchangeHandler } from '../../lib/core/exchange.js';
import { type EventBusModuleOptions, type EventBusService, FanoutExchange, OnEvent } from '../../lib/index.js';
import { Log } from '../../lib/testing/contract/log.js';
import { bounded, until } from '../../lib/testing/contract/until.js';
import type { Lab } from '../support/lab.js';
import { ReversedExchange } from '../support/own-exchanges.js';
import { byHand } from './harness/by-hand.js';
import type { FakeBroker } from './harness/fake-broker.js';
import { withFakeBroker } from './harness/fake-broker.lab.js';
import { OwnBroker } from './harness/own-broker.js';

const PLUGIN = 'rabbitmq_random_exchange';
/** Longer than the broker is waited for. */
const SILENCE_MS = 20_000;
const RESTART_MS = 120_000;

/** What RabbitMQ's own plug-in adds: each message comes to one queue, whichever. */
class RandomExchange implements ExchangeHandler {
  readonly type = 'x-random';
  readonly usesHeaders = false;
  assertRule(): void {}
  assertTopic(): void {}
  matches(): boolean {
    return true;
  }
  specificity(): readonly number[] {
    return [0];
  }
  overlap(): boolean {
    return true;
  }
}

const optionsOf = (lab: Lab, handler: ExchangeHandler = new RandomExchange()): EventBusModuleOptions => ({
  exchange: { name: lab.exchange, handler },
});

/** Two groups. */
function listeners(lab: Lab, seen: Log<unknown>): readonly Type[] {
  return ['one', 'two'].map((name) => {
    @Injectable()
    class Listener {
      @OnEvent('a', { group: lab.willRemoveGroup(`${lab.name}.${name}`) })
      on(payload: unknown): void {
        seen.add(payload);
      }
    }
    return Listener;
  });
}

/** Each event is handled by so many groups. */
async function areHandled(bus: EventBusService, seen: Log<unknown>, by: 'one' | 'both'): Promise<void> {
  const [before, events] = [seen.length, 20];
  for (let i = 0; i < events; i++) expect(await bus.publish('a', i)).toMatchObject({ routed: true });
  await seen.settle(before + (by === 'one' ? events : 2 * events), 300);
}

const emulatedBy = (bus: EventBusService): unknown =>
  (bus.describe() as { readonly transport: { readonly emulated?: { readonly exchanges: unknown } } }).transport.emulated
    ?.exchanges;

/** Declarations of a type, each with the connection it came on. */
const declared = (broker: FakeBroker, exchange: string) =>
  broker
    .got('ExchangeDeclare')
    .filter(({ fields }) => fields.exchange === exchange && fields.passive !== true)
    .map(({ link, fields }) => [link, fields.type]);

const own = new OwnBroker();

own.suite('a rule of a type that the broker may have', () => {
  const typesAtBroker = (): Promise<string> => own.node.ctl('list_exchanges', 'name', 'type', '--no-table-headers');
  const typeAtBroker = async (name: string): Promise<string | undefined> =>
    (await typesAtBroker())
      .split('\n')
      .map((line) => line.split('\t'))
      .find(([one]) => one === name)?.[1];

  it(
    'is emulated without the plug-in, stays so when that is enabled later, and is native when the exchange is made anew',
    async () => {
      const { lab, node } = own;
      const seen = new Log<unknown>('events');
      const parts = {
        options: { ...optionsOf(lab), transport: own.door.url() },
        providers: [...listeners(lab, seen)],
      };
      const { app, bus } = await lab.boot(parts);
      expect(await typeAtBroker(lab.exchange)).toBe('fanout');
      expect(emulatedBy(bus)).toEqual([lab.exchange, `${lab.exchange}.broadcast`]);
      await areHandled(bus, seen, 'both');
      // the two of the bus, and for each exchange that was to be made one more
      expect(own.door.arrivals).toHaveLength(4);
      own.door.cut();
      await until('it is down', () => bus.status !== 'up');
      await until('it is up again', () => bus.status === 'up');
      await areHandled(bus, seen, 'both');
      expect(own.door.arrivals).toHaveLength(6);

      await node.settleQueues();
      await node.setPlugins(PLUGIN);
      await node.stop();
      await node.restart();
      await until('it is up again', () => bus.status === 'up', 30_000);
      await areHandled(bus, seen, 'both');
      await app.close();
      const again = await lab.boot(parts);
      expect(await typeAtBroker(lab.exchange)).toBe('fanout');
      await areHandled(again.bus, seen, 'both');
      await again.app.close();

      await byHand(node.url(), async (channel) => {
        for (const name of [lab.exchange, `${lab.exchange}.broadcast`]) await channel.deleteExchange(name);
      });
      const anew = await lab.boot(parts);
      expect(await typeAtBroker(lab.exchange)).toBe('x-random');
      expect(emulatedBy(anew.bus)).toBeUndefined();
      await areHandled(anew.bus, seen, 'one');
      await anew.app.close();
      // and one that begins when it stands
      const last = await lab.boot(parts);
      expect(emulatedBy(last.bus)).toBeUndefined();
      await areHandled(last.bus, seen, 'one');
      own.door.cut();
      await until('it is down', () => last.bus.status !== 'up');
      await until('it is up again', () => last.bus.status === 'up');
      await areHandled(last.bus, seen, 'one');
      expect(lab.lines.filter((line) => line.startsWith('error '))).toEqual([]);
    },
    RESTART_MS,
  );

  it(
    'is refused to a user who may not make the exchange, as any other',
    async () => {
      const { lab, node } = own;
      await node.ctl('add_user', 'narrow', 'c4nary');
      await node.ctl('set_permissions', 'narrow', '^$', '.*', '.*');
      const transport = own.door.url({ user: 'narrow', password: 'c4nary' });
      for (const handler of [new ReversedExchange(), new FanoutExchange()]) {
        const failed = lab.bootFails({ options: { ...optionsOf(lab, handler), transport } });
        expect(await bounded(failed, 10_000, 'the boot')).toMatchObject({ code: 'ACCESS_REFUSED' });
      }
      // once it stands, no right to make it is needed
      await byHand(node.url(), async (channel) => {
        for (const name of [lab.exchange, `${lab.exchange}.broadcast`]) await channel.assertExchange(name, 'fanout');
      });
      const check = { type: 'rabbitmq', url: transport, assert: 'check' } as const;
      const { bus } = await lab.boot({ options: { ...optionsOf(lab, new ReversedExchange()), transport: check } });
      expect(bus.status).toBe('up');
    },
    RESTART_MS,
  );
});

it(
  'asks for a type on a connection of its own: the broker closes that, and no other',
  withFakeBroker(async ({ lab, broker }) => {
    const { bus } = await lab.boot({ options: optionsOf(lab) });
    expect(broker.connections).toBe(4);
    const closed = broker.gave('ConnectionClose').map(({ link, fields }) => [link, fields.replyCode]);
    expect(closed).toEqual([
      [3, 503],
      [4, 503],
    ]);
    expect(declared(broker, lab.exchange)).toEqual(
      expect.arrayContaining([
        [3, 'x-random'],
        [expect.any(Number), 'fanout'],
      ]),
    );
    await until('they are gone', () => broker.links.size === 2);
    expect(bus.status).toBe('up');
    expect(lab.lines.filter((line) => !line.startsWith('log '))).toEqual([]);
  }),
);

it(
  'makes it native where the broker has the type, and asks on no further connection when it is back',
  withFakeBroker(async ({ lab, broker }) => {
    broker.store.types.add('x-random');
    const { bus } = await lab.boot({ options: optionsOf(lab) });
    expect(broker.store.typeOf(lab.exchange)).toBe('x-random');
    expect(emulatedBy(bus)).toBeUndefined();
    broker.linkTo('publish').reset();
    await until('it is down', () => bus.status !== 'up');
    await until('it is up again', () => bus.status === 'up');
    expect(broker.connections).toBe(5);
  }),
);

it(
  'takes the answer of RabbitMQ 4, which closes only the channel',
  withFakeBroker(async ({ lab, broker }) => {
    broker.on('ExchangeDeclare', ({ channel, fields }) => {
      if (fields.type !== 'x-random') return false;
      channel.close(406, "PRECONDITION_FAILED - unknown exchange type 'x-random'");
      return true;
    });
    const { bus } = await lab.boot({ options: optionsOf(lab) });
    expect(emulatedBy(bus)).toEqual([lab.exchange, `${lab.exchange}.broadcast`]);
  }),
);

it(
  'a connection that cannot be had is a trouble of the connection, and no answer: it goes on trying, and makes no fanout',
  withFakeBroker(async ({ lab, broker }) => {
    broker.store.types.add('x-random');
    let refused = 0;
    broker.on('ConnectionOpen', ({ link }) => {
      if (!link.name.endsWith(' exchange types') || ++refused > 3) return false;
      link.reset();
      return true;
    });
    const { bus } = await lab.boot({ options: optionsOf(lab) });
    expect(refused).toBeGreaterThan(3);
    expect(broker.store.typeOf(lab.exchange)).toBe('x-random');
    expect(declared(broker, lab.exchange).map(([, type]) => type)).not.toContain('fanout');
    expect(bus.status).toBe('up');
  }),
);

it.each(['is lost', 'stays silent'] as const)('a connection that %s while it asks is no answer either', (what) =>
  withFakeBroker(async ({ lab, broker }) => {
    broker.store.types.add('x-random');
    let faults = 0;
    broker.on('ExchangeDeclare', ({ link }) => {
      if (!link.name.endsWith(' exchange types') || faults > 0) return false;
      faults++;
      if (what === 'is lost') link.reset();
      return true;
    });
    const options = { ...optionsOf(lab), startup: { timeoutMs: SILENCE_MS } };
    await lab.boot({ options });
    expect(faults).toBe(1);
    expect(broker.store.typeOf(lab.exchange)).toBe('x-random');
    expect(declared(broker, lab.exchange).map(([, type]) => type)).not.toContain('fanout');
  })(),
);

it(
  'a type that the broker has lost ends one connection, and then is found out',
  withFakeBroker(async ({ lab, broker }) => {
    broker.store.types.add('x-random');
    const { bus } = await lab.boot({ options: optionsOf(lab) });
    broker.store.types.delete('x-random');
    broker.linkTo('publish').reset();
    await until('it is closed for the type', () => broker.gave('ConnectionClose').length > 0);
    // goes out when all exchanges have been declared again
    expect(await bus.publish('a', 1, { unroutable: 'ignore' })).toMatchObject({ state: 'confirmed' });
    expect(bus.status).toBe('up');
    expect(broker.gave('ConnectionClose')).toHaveLength(1);
  }),
);
