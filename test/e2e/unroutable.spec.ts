import 'reflect-metadata';
import { describe, expect, it } from '@jest/globals';
import { Injectable } from '@nestjs/common';
import { connect } from 'amqplib';
import {
  type EventBusOptions,
  type EventBusService,
  type EventContext,
  OnEvent,
  UnroutableError,
  type UnroutableMessage,
} from '../../lib/index.js';
import { Log } from '../../lib/testing/contract/log.js';
import { quiet, until } from '../../lib/testing/contract/until.js';
import { isReachable, RABBITMQ } from '../support/brokers.js';
import { type Lab, withLab } from '../support/lab.js';

const reachable = await isReachable(RABBITMQ);
const urls = ['memory:', ...(reachable ? [RABBITMQ.url] : [])].map(
  (url) => [url.split(':', 1)[0] as string, url] as const,
);

type PublishSettings = EventBusOptions['publish'];

/** What the alternate exchange of an exchange of a lab needs, by name; removed at the end. */
function alternateOf(lab: Lab, exchange = lab.exchange, prefix = ''): { exchange: string; group: string } {
  lab.willRemoveExchange(`${prefix}${exchange}.ae`);
  lab.willRemoveGroup(`${prefix}${exchange}.unroutable`);
  return { exchange: `${exchange}.ae`, group: `${exchange}.unroutable` };
}

function unhandledRejections(): { readonly seen: unknown[]; readonly stop: () => void } {
  const seen: unknown[] = [];
  const onRejection = (reason: unknown): void => void seen.push(reason);
  process.on('unhandledRejection', onRejection);
  return { seen, stop: () => void process.off('unhandledRejection', onRejection) };
}

describe.each(urls)('the catalogue of unroutable events on %s', (_, url) => {
  const boot = async (lab: Lab, publish: PublishSettings): Promise<EventBusService> =>
    (await lab.boot({ options: { publish } })).bus;

  it(
    '0037 return and raise: the publish rejects, with a text that says it',
    withLab(url, async (lab) => {
      const bus = await boot(lab, { unroutable: 'reject' });
      const error = await bus.publish('no.such.key', { n: 1 }).catch((reason: unknown) => reason);
      expect(error).toBeInstanceOf(UnroutableError);
      expect(error).toMatchObject({ code: 'UNROUTABLE', retryable: false });
      expect((error as Error).message).toMatch(/No group is bound to exchange .* for topic "no\.such\.key"/);
    }),
  );

  it(
    '0038 return and callback: the publish resolves, and the callback is called',
    withLab(url, async (lab) => {
      const seen = new Log<UnroutableMessage>('calls');
      const bus = await boot(lab, { onUnroutable: seen.add });
      const receipt = await bus.publish('no.such.key', { n: 1 }, { id: 'own', headers: { tenant: 'acme' } });
      expect(receipt).toEqual({ id: 'own', topic: 'no.such.key', state: 'confirmed', routed: false });
      const [call] = await seen.settle(1);
      expect(call).toMatchObject({
        id: 'own',
        topic: 'no.such.key',
        exchange: lab.exchange,
        broadcast: false,
        payload: { n: 1 },
        headers: { tenant: 'acme' },
        replyCode: 312,
        replyText: 'NO_ROUTE',
      });
    }),
  );

  it(
    '0039 return and cache: the publish resolves, and the cache has it until it is fetched',
    withLab(url, async (lab) => {
      const bus = await boot(lab, { unroutable: 'store' });
      expect(await bus.publish('no.such.key', { n: 1 })).toMatchObject({ state: 'confirmed', routed: false });
      expect(bus.popUnroutables()).toMatchObject([
        { topic: 'no.such.key', payload: { n: 1 }, replyCode: 312, replyText: 'NO_ROUTE' },
      ]);
      expect(bus.popUnroutables()).toEqual([]);
    }),
  );

  it(
    '0040 return and log: the publish resolves, and the log says it',
    withLab(url, async (lab) => {
      const bus = await boot(lab, {});
      expect(await bus.publish('no.such.key', 'secret')).toMatchObject({ state: 'confirmed', routed: false });
      const warnings = lab.lines.filter((line) => line.startsWith('warn'));
      expect(warnings).toEqual([expect.stringContaining('"no.such.key"')]);
      expect(warnings[0]).not.toContain('secret');
    }),
  );

  it(
    '0041 alternate exchange: whoever subscribes to it receives the message',
    withLab(url, async (lab) => {
      const { exchange, group } = alternateOf(lab);
      const seen = new Log<unknown>('what nobody wanted');
      const bus = await boot(lab, { unroutable: 'alternate-exchange' });
      await bus.subscribe('#', (payload, { topic }) => seen.add([topic, payload]), { exchange });
      expect(await bus.publish('no.such.key', { n: 1 })).toMatchObject({ state: 'confirmed', routed: false });
      expect(await seen.settle(1)).toEqual([['no.such.key', { n: 1 }]]);
      await bus.subscribe('#', (payload, { topic }) => seen.add([topic, payload, group]), { exchange, group });
      expect(await seen.settle(2)).toHaveLength(2);
    }),
  );
});

describe.each(urls)('the alternate queue on %s', (_, url) => {
  it(
    'gets what was published before the application closes, awaited or not',
    withLab(url, async (lab) => {
      const { group } = alternateOf(lab);
      const publish: PublishSettings = { unroutable: 'alternate-exchange' };
      const { app, bus } = await lab.boot({ options: { publish } });
      const sent = Array.from({ length: 50 }, (_unused, n) => bus.publish('no.such.key', n));
      await bus.publish('no.such.key', 50, { background: true });
      await app.close();
      for (const receipt of await Promise.all(sent))
        expect(receipt).toMatchObject({ state: 'confirmed', routed: false });
      expect(lab.lines.filter((line) => line.startsWith('error'))).toEqual([]);
      if (url === 'memory:') return; // gone with its process
      const connection = await connect(url);
      const channel = await connection.createChannel();
      expect(await channel.checkQueue(group)).toMatchObject({ messageCount: 51 });
      await connection.close();
    }),
  );

  it(
    'is consumed by a decorated handler, in a namespace, with retries and dead letters',
    withLab(url, async (lab) => {
      const { exchange, group } = alternateOf(lab, lab.exchange, 'dev.');
      lab.willRemoveExchange(`dev.${lab.exchange}`);
      lab.willRemoveGroup(`dev.${lab.service}.broadcast`);
      const seen = new Log<unknown>('attempts');

      @Injectable()
      class LostProperty {
        @OnEvent('#', { exchange, group, retry: { delaysMs: [20] } })
        on(payload: unknown, { attempt, topic, message }: EventContext): void {
          seen.add([topic, payload, attempt, message.id]);
          if (payload === 'bad') throw new Error('again');
        }
      }
      const { bus, deadLetters } = await lab.boot({
        providers: [LostProperty],
        options: { namespace: 'dev', publish: { unroutable: 'alternate-exchange' } },
      });
      await bus.publish('a.b', 'good', { id: '1' });
      await seen.reach(1);
      await bus.publish('c.d', 'bad', { id: '2' });
      expect(await seen.settle(3)).toEqual([
        ['a.b', 'good', 1, '1'],
        ['c.d', 'bad', 1, '2'],
        ['c.d', 'bad', 2, '2'],
      ]);
      await until('a dead letter', async () => (await deadLetters.count(group)) === 1);
      expect(await deadLetters.list(group)).toMatchObject([{ id: '2', topic: 'c.d', group, attempts: 2 }]);
      expect(lab.lines.filter((line) => line.includes('No group'))).toEqual([]);
    }),
  );

  it(
    'is there for each exchange, for one publish that asks for it, and for what was broadcast to nobody',
    withLab(url, async (lab) => {
      const audit = lab.willRemoveExchange(`${lab.name}.audit`);
      const main = alternateOf(lab);
      const audited = alternateOf(lab, audit);
      const seen = new Log<unknown>('what nobody wanted');
      const { bus } = await lab.boot({ options: { exchanges: { [audit]: 'direct' } } });
      const unroutable = 'alternate-exchange';
      expect(await bus.publish('a', 1, { unroutable })).toMatchObject({ state: 'confirmed', routed: false });
      await bus.publish('a', 2, { unroutable, exchange: audit });
      await bus.broadcast('b', 3, { unroutable });
      expect(await bus.publish('c', 4, { unroutable, background: true })).toMatchObject({ state: 'queued' });
      const { confirmed } = await bus.publishAll([{ topic: 'd', payload: 5, options: { unroutable } }]);
      expect(confirmed).toBe(1);
      await bus.subscribe('#', (payload, { topic }) => seen.add(['main', topic, payload]), main);
      await bus.subscribe('#', (payload, { topic }) => seen.add(['audit', topic, payload]), audited);
      const all = await seen.settle(5);
      expect(new Set(all)).toEqual(
        new Set([
          ['main', 'a', 1],
          ['main', 'b', 3],
          ['main', 'c', 4],
          ['main', 'd', 5],
          ['audit', 'a', 2],
        ]),
      );
      expect(bus.stats()).toMatchObject({ published: 5, confirmed: 5, failed: 0, unroutable: 5 });
    }),
  );

  it(
    'keeps the order of what comes back at one time, before and after it is declared',
    withLab(url, async (lab) => {
      const alternate = alternateOf(lab);
      const { bus } = await lab.boot();
      const seen = new Log<unknown>('what nobody wanted');
      const count = 3_000;
      const receipts = await Promise.all(
        Array.from({ length: count }, (_each, n) => bus.publish('a', n, { unroutable: 'alternate-exchange' })),
      );
      expect(receipts.every(({ state, routed }) => state === 'confirmed' && routed === false)).toBe(true);
      await bus.subscribe('#', seen.add, { ...alternate, concurrency: 1, prefetch: 250, timeoutMs: 5_000 });
      expect(await seen.settle(count)).toEqual(Array.from({ length: count }, (_each, n) => n));
    }),
  );

  it(
    'is not for handlers of another exchange, and is not published to',
    withLab(url, async (lab) => {
      const { exchange, group } = alternateOf(lab);
      const { bus } = await lab.boot();
      await expect(bus.subscribe('#', () => undefined, { group })).rejects.toMatchObject({
        code: 'CONFIGURATION',
        message: expect.stringContaining(`Say exchange: "${exchange}"`),
      });
      await expect(bus.publish('a', 1, { exchange })).rejects.toMatchObject({ code: 'CONFIGURATION' });
      await expect(bus.broadcast('a', 1, { exchange })).rejects.toMatchObject({ code: 'CONFIGURATION' });
    }),
  );
});

describe.each(urls)('the callback for unroutable events on %s', (_, url) => {
  it(
    'changes nothing when it throws, rejects or never ends; its errors are logged without the payload',
    withLab(url, async (lab) => {
      const ways: readonly (() => unknown)[] = [
        () => {
          throw new Error('thrown');
        },
        async () => {
          throw new TypeError('rejected');
        },
        () => new Promise(() => undefined),
      ];
      const rejections = unhandledRejections();
      let calls = 0;
      const onUnroutable = (): unknown => ways[calls++]?.();
      const { bus } = await lab.boot({ options: { publish: { onUnroutable, unroutable: 'store' } } });
      for (let n = 0; n < 3; n++) expect(await bus.publish(`t.${n}`, 'secret')).toMatchObject({ routed: false });
      expect(bus.popUnroutables()).toHaveLength(3);
      await bus.publish('t', 1, { unroutable: 'ignore' });
      expect(calls).toBe(3);
      const errors = lab.lines.filter((line) => line.startsWith('error'));
      expect(errors).toEqual([
        expect.stringMatching(/^error publish\.onUnroutable failed for "t\.0" \(.*\): Error: thrown$/),
        expect.stringMatching(/^error publish\.onUnroutable failed for "t\.1" \(.*\): TypeError: rejected$/),
      ]);
      expect(errors.join()).not.toContain('secret');
      await quiet();
      rejections.stop();
      expect(rejections.seen).toEqual([]);
    }),
  );
});

const onRabbitMq = reachable ? describe : describe.skip;

onRabbitMq('at the broker', () => {
  it(
    'another client can bind a queue of its own to the alternate exchange',
    withLab(RABBITMQ.url, async (lab) => {
      const { exchange } = alternateOf(lab);
      const { bus } = await lab.boot({ options: { publish: { unroutable: 'alternate-exchange' } } });
      const connection = await connect(RABBITMQ.url);
      try {
        const channel = await connection.createChannel();
        const { queue } = await channel.assertQueue('', { exclusive: true });
        await channel.bindQueue(queue, exchange, '');
        await bus.publish('a.b', { n: 1 }, { id: 'own', correlationId: 'c' });
        const got = await channel.get(queue, { noAck: true });
        if (got === false) throw new Error('Nothing came.');
        expect(got.fields).toMatchObject({ exchange, routingKey: 'a.b' });
        expect(got.properties).toMatchObject({ messageId: 'own', correlationId: 'c', contentType: 'application/json' });
        expect(JSON.parse(got.content.toString())).toEqual({ n: 1 });
      } finally {
        await connection.close();
      }
    }),
  );

  it(
    'a service that has handled the alternate queue and does no more is not told that a group has vanished',
    withLab(RABBITMQ.url, async (lab) => {
      const { exchange, group } = alternateOf(lab);

      @Injectable()
      class LostProperty {
        @OnEvent('#', { exchange, group })
        on(): void {
          // whatever it is
        }
      }
      @Injectable()
      class Mails {
        @OnEvent('mails', { group: lab.willRemoveGroup(`${lab.name}.mails`) })
        on(): void {
          // sent
        }
      }
      const options: EventBusOptions = { publish: { unroutable: 'alternate-exchange' } };
      const isRecorded = async (name: string): Promise<boolean> => {
        const connection = await connect(RABBITMQ.url);
        try {
          const channel = await connection.createChannel();
          channel.on('error', () => undefined); // the call rejects as well
          const record = await channel.get(`${lab.exchange}.groups.${lab.service}`);
          return record !== false && record.content.includes(`"${name}"`);
        } catch {
          return false; // not there yet
        } finally {
          await connection.close();
        }
      };
      const first = await lab.boot({ providers: [LostProperty, Mails], options });
      await until('its groups are written down', () => isRecorded(group));
      await first.app.close();
      const second = await lab.boot({ providers: [], options });
      await until('the other group has vanished', () => {
        const { vanishedGroups } = second.bus.describe() as { vanishedGroups: { group: string }[] };
        return vanishedGroups.length > 0;
      });
      expect(second.bus.describe()).toMatchObject({ vanishedGroups: [{ group: `${lab.name}.mails` }] });
      expect(lab.lines.filter((line) => line.startsWith('warn') && line.includes(group))).toEqual([]);
    }),
  );

  it.each(['check', 'skip'] as const)('with assert: %s it is not made, and nothing is lost silently', (assert) =>
    withLab(RABBITMQ.url, async (lab) => {
      alternateOf(lab);
      // somebody else makes all the rest
      await (await lab.boot()).app.close();
      const transport = { type: 'rabbitmq', url: RABBITMQ.url, assert };
      const options: EventBusOptions = { transport, publish: { timeoutMs: 3_000 } };
      const { bus } = await lab.boot({ options });
      await expect(bus.publish('a', 1, { unroutable: 'alternate-exchange' })).rejects.toMatchObject({
        name: assert === 'check' ? 'TopologyConflictError' : 'PublishRejectedError',
        message: expect.stringContaining(`${lab.exchange}.`),
      });
      expect(await bus.publish('a', 1)).toMatchObject({ routed: false });
      if (assert === 'skip') return;
      const error = await lab.bootFails({ options: { ...options, publish: { unroutable: 'alternate-exchange' } } });
      expect(error).toMatchObject({ name: 'TopologyConflictError' });
      expect(error.message).toMatch(/"[^"]*\.ae" does not exist/);
    })(),
  );
});
