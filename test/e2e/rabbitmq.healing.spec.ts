import 'reflect-metadata';
import { describe, expect, it } from '@jest/globals';
import { Injectable } from '@nestjs/common';
import { type Channel, connect } from 'amqplib';
import { ACK } from '../../lib/core/delivery.js';
import {
  EVENT_BUS_CONNECTION,
  EVENT_BUS_TRANSPORT,
  type EventContext,
  OnEvent,
  type Transport,
} from '../../lib/index.js';
import { Log } from '../../lib/testing/contract/log.js';
import { createMessage } from '../../lib/testing/contract/message.factory.js';
import { until } from '../../lib/testing/contract/until.js';
import { isReachable, RABBITMQ } from '../support/brokers.js';
import { type Lab, withLab } from '../support/lab.js';
import { closedPort, TcpProxy, withPort } from '../support/tcp-proxy.js';

const onRabbit = (await isReachable(RABBITMQ)) ? describe : describe.skip;

/** A plain client, as a team without this library has. */
async function withClient(work: (channel: Channel) => Promise<void>): Promise<void> {
  const connection = await connect(RABBITMQ.url);
  try {
    await work(await connection.createChannel());
  } finally {
    await connection.close();
  }
}

const warnings = (lab: Lab): readonly string[] => lab.lines.filter((line) => line.startsWith('warn '));

function listener(seen: Log<unknown>) {
  @Injectable()
  class OrderListener {
    @OnEvent('orders.*')
    on(payload: unknown, { headers }: EventContext): void {
      seen.add(Object.keys(headers).length > 0 ? [payload, { ...headers }] : payload);
    }
  }
  return OrderListener;
}

onRabbit('foreign messages', () => {
  it(
    'a malformed body is dead as undecodable after one attempt; others are handled, with their headers',
    withLab(RABBITMQ.url, async (lab) => {
      const seen = new Log<unknown>('events');
      const { deadLetters } = await lab.boot({ providers: [listener(seen)] });
      const group = `${lab.service}.OrderListener.on`;
      const bodies = ['{"id":', '', '\u0000', 'undefined', `{"__proto__":`].map((text) => Buffer.from(text));
      await withClient(async (channel) => {
        for (const body of bodies) channel.publish(lab.exchange, 'orders.bad', body);
        const nested = { deep: { er: [1] }, list: [1], nothing: null, bytes: Buffer.from('x'), good: 'kept' };
        channel.publish(lab.exchange, 'orders.good', Buffer.from('{"id":7}'), { headers: nested });
        await until('all are dead', async () => (await deadLetters.count(group)) === bodies.length);
      });
      expect(await seen.settle(1)).toEqual([[{ id: 7 }, { good: 'kept' }]]);
      const letters = await deadLetters.list(group);
      expect(letters).toMatchObject(bodies.map(() => ({ reason: 'undecodable', attempts: 1, topic: 'orders.bad' })));
      expect(letters.map(({ body }) => Buffer.from(body).toString()).toSorted()).toEqual(bodies.map(String).toSorted());
    }),
  );

  it(
    'forged control headers neither raise attempts nor choose a topic or a route',
    withLab(RABBITMQ.url, async (lab) => {
      const seen = new Log<unknown>('events');
      @Injectable()
      class OrderListener {
        @OnEvent('orders.*')
        on(_payload: unknown, { attempt, topic }: EventContext): void {
          seen.add([attempt, topic]);
        }
      }
      await lab.boot({ providers: [OrderListener] });
      const headers = { 'eb-attempt': 99, 'eb-topic': 'admin.delete', 'eb-deferrals': 100, 'x-death': 'nonsense' };
      await withClient(async (channel) => {
        channel.publish(lab.exchange, 'orders.created', Buffer.from('1'), { headers, contentType: 'application/json' });
        expect(await seen.settle(1)).toEqual([[1, 'orders.created']]);
      });
    }),
  );
});

onRabbit('consumers heal', () => {
  it(
    'a queue deleted while it is consumed: consuming again within 5 s, warned once',
    withLab(RABBITMQ.url, async (lab) => {
      const seen = new Log<unknown>('events');
      const { bus } = await lab.boot({ providers: [listener(seen)] });
      await bus.publish('orders.created', 1);
      await seen.reach(1);
      const before = Date.now();
      await withClient(async (channel) => {
        await channel.deleteQueue(`${lab.service}.OrderListener.on`);
      });
      await until(
        'it is routed again',
        async () => (await bus.publish('orders.created', 2, { unroutable: 'ignore' })).routed === true,
      );
      await seen.reach(2);
      expect(Date.now() - before).toBeLessThan(5_000);
      await until('it is up', () => bus.status === 'up');
      expect(warnings(lab).filter((line) => line.includes('OrderListener.on'))).toHaveLength(1);
    }),
  );

  it(
    'a channel that the broker closed (double acknowledgement): the event comes again, others go on',
    withLab(RABBITMQ.url, async (lab) => {
      const seen = new Log<unknown>('events');
      const { bus, app } = await lab.boot({ providers: [listener(seen)] });
      await bus.publish('orders.created', 1);
      await seen.reach(1);
      const { consume } = app.get<{ raw(): { consume: { connection: RawConnection } } }>(EVENT_BUS_CONNECTION).raw();
      const channels = consume.connection.channels
        .map((entry) => entry?.channel)
        .filter((channel) => (channel?.consumers?.size ?? 0) > 0);
      expect(channels).not.toHaveLength(0);
      for (const channel of channels) channel?.ack?.({ fields: { deliveryTag: 9_999 } });
      await until('it was lost', () => warnings(lab).length > 0);
      await until('it is up', () => bus.status === 'up');
      expect((await bus.publish('orders.created', 2)).routed).toBe(true);
      await until('it is handled', () => seen.items.includes(2));
      expect(warnings(lab).join('\n')).toMatch(/PRECONDITION_FAILED/);
    }),
  );
});

interface RawConnection {
  readonly channels: readonly ({
    readonly channel?: { consumers?: ReadonlyMap<string, unknown>; ack?(message: object): void };
  } | null)[];
}

onRabbit('the reply path', () => {
  it('works again after the connection was lost, with the address that it has then', async () => {
    const port = await closedPort();
    const proxy = await new TcpProxy(RABBITMQ.url).listen(port);
    try {
      await withLab(withPort(RABBITMQ.url, port), async (lab) => {
        const { app } = await lab.boot();
        const transport = app.get<Transport>(EVENT_BUS_TRANSPORT);
        const group = lab.willRemoveGroup(`${lab.service}.answers`);
        const source = { group, owner: lab.service, deadLetterGroup: group, prefetch: 5, bindings: [] };
        await transport.consume(source, {
          deliver: (delivery) => {
            const { replyTo = '', ...question } = delivery.message;
            void transport
              .publish({ kind: 'reply', address: replyTo }, { ...question, id: `${question.id}-answer` })
              .then(() => delivery.settle(ACK));
          },
        });
        const replies = new Log<unknown>('replies');
        const path = await transport.openReplies(({ correlationId }) => replies.add(correlationId));
        const ask = (correlationId: string): Promise<unknown> =>
          path.publish({ kind: 'group', group }, createMessage('question', { replyTo: path.address, correlationId }));
        await ask('before');
        expect(await replies.settle(1)).toEqual(['before']);
        proxy.drop();
        await until('it is down', () => transport.connection.state !== 'up');
        await ask('after');
        await replies.reach(2);
        expect(replies.items).toContain('after');
        await path.close();
      })();
    } finally {
      await proxy.close();
    }
  });
});
