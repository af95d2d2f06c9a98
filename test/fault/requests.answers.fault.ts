import 'reflect-metadata';
import { expect, it } from '@jest/globals';
import { type Channel, type ConsumeMessage, connect, type Options } from 'amqplib';
import { DecodeError, RequestTimeoutError } from '../../lib/index.js';
import { commandHandler, remoteError } from '../../lib/testing/contract/commands.js';
import { Log } from '../../lib/testing/contract/log.js';
import { quiet, until } from '../../lib/testing/contract/until.js';
import { caughtFrom } from '../unit/support/caught.js';
import { OwnBroker } from './harness/own-broker.js';

const own = new OwnBroker();
const TIMEOUT_MS = 400;
const MIB = 2 ** 20;

/** Answers one request as the test says. */
type Answer = (send: (body: Buffer, properties: Options.Publish) => void, request: ConsumeMessage) => void;

const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));
const PLAIN = Object.freeze({ contentType: 'application/json' });

/** A client of the broker that knows no more than AMQP. */
async function withClient(work: (channel: Channel) => Promise<void>): Promise<void> {
  const connection = await connect(own.node.url());
  try {
    await work(await connection.createChannel());
  } finally {
    await connection.close();
  }
}

/** A bus that asks by way of the door, and who answers it; afterwards it asks again. */
async function asking(
  answers: readonly Answer[],
  test: (ask: (timeoutMs?: number) => Promise<unknown>) => Promise<void>,
): Promise<void> {
  await withClient(async (channel) => {
    const { queue } = await channel.assertQueue(`${own.lab.exchange}.command.work`, { exclusive: true });
    let asked = 0;
    await channel.consume(
      queue,
      (request) => {
        if (!request) return;
        const { replyTo, correlationId } = request.properties as { replyTo: string; correlationId: string };
        const answer = answers[asked++];
        const send = (body: Buffer, properties: Options.Publish): void =>
          void channel.publish('', replyTo, body, properties);
        if (answer) answer(send, request);
        else send(json('well'), { ...PLAIN, correlationId });
      },
      { noAck: true },
    );
    const { bus } = await own.lab.boot({ options: { transport: own.door.url() } });
    const begun = await bus.request('work'); // opens the way back
    expect(begun).toBeDefined();
    const arrivals = own.door.arrivals.length;
    await test((timeoutMs = TIMEOUT_MS) => bus.request('work', 1, { timeoutMs }));
    expect(await bus.request('work')).toBe('well');
    expect([bus.status, bus.stats().pendingRequests, own.door.arrivals.length]).toEqual(['up', 0, arrivals]);
  });
}

const well: Answer = (send, { properties }) =>
  send(json('well'), { ...PLAIN, correlationId: properties.correlationId });
const idOf = ({ properties }: ConsumeMessage): string => properties.correlationId as string;

own.suite('answers that no bus would give', () => {
  it('one that cannot be read is an error, at once', async () => {
    const bad: readonly Answer[] = [
      (send, request) => send(Buffer.from('{"half'), { ...PLAIN, correlationId: idOf(request) }),
      (send, request) => send(json(1), { contentType: 'image/png', correlationId: idOf(request) }),
      (send, request) => send(Buffer.alloc(0), { ...PLAIN, correlationId: idOf(request), type: 'reply' }),
    ];
    await asking([well, ...bad], async (ask) => {
      for (const _ of bad) expect(await caughtFrom(ask())).toBeInstanceOf(DecodeError);
    });
  });

  it('one that cannot be read as an error is one all the same', async () => {
    const body = (request: ConsumeMessage) => ({ ...PLAIN, correlationId: idOf(request), type: 'reply.error' });
    const bad: readonly Answer[] = [
      (send, request) => send(Buffer.from('{"half'), body(request)),
      (send, request) => send(json([]), body(request)),
    ];
    await asking([well, ...bad], async (ask) => {
      expect(await caughtFrom(ask())).toBeInstanceOf(DecodeError);
      expect(await remoteError(ask())).toMatchObject({ name: 'RemoteError', code: 'REMOTE' });
    });
  });

  it('one without correlation id, with a foreign one or of an unknown type answers nobody', async () => {
    const bad: readonly Answer[] = [
      (send) => send(json(1), PLAIN),
      (send) => send(json(1), { ...PLAIN, correlationId: 'foreign' }),
      (send) => send(json(1), { ...PLAIN, correlationId: '__proto__' }),
      (send, request) => send(json(1), { ...PLAIN, correlationId: idOf(request), type: 'something.else' }),
      () => undefined,
    ];
    await asking([well, ...bad], async (ask) => {
      for (const _ of bad) expect(await caughtFrom(ask())).toBeInstanceOf(RequestTimeoutError);
    });
  });

  it('of many with one correlation id the first one counts', async () => {
    const thrice: Answer = (send, request) => {
      for (const n of [1, 2, 3]) send(json(n), { ...PLAIN, correlationId: idOf(request) });
    };
    await asking([well, thrice], async (ask) => {
      expect(await ask()).toBe(1);
    });
  });

  it('one of 10 MiB is refused, be it a value or an error, and the connection stays', async () => {
    const large = json('x'.repeat(10 * MIB));
    const bad: readonly Answer[] = [
      (send, request) => send(large, { ...PLAIN, correlationId: idOf(request) }),
      (send, request) => send(large, { ...PLAIN, correlationId: idOf(request), type: 'reply.error' }),
    ];
    await asking([well, ...bad], async (ask) => {
      for (const _ of bad) {
        const error = await caughtFrom(ask(20_000)); // it takes its time on a busy machine
        expect(error).toBeInstanceOf(DecodeError);
        expect(error.message).toContain('limit');
      }
    });
  });

  it('one that comes too late changes nothing', async () => {
    let late: (() => void) | undefined;
    const tooLate: Answer = (send, request) => {
      late = () => send(json('late'), { ...PLAIN, correlationId: idOf(request) });
    };
    await asking([well, tooLate], async (ask) => {
      expect(await caughtFrom(ask())).toBeInstanceOf(RequestTimeoutError);
      late?.();
      await quiet();
    });
  });
});

own.suite('requests that no bus would send', () => {
  it('one whose answer would go to a queue is a dead letter, and that queue gets nothing', async () => {
    const seen = new Log<unknown>('payloads');
    const { deadLetters } = await own.lab.boot({
      providers: [commandHandler('work', seen.add)],
      options: { transport: own.node.url() },
    });
    const group = own.lab.willRemoveGroup(`${own.lab.exchange}.command.work`);
    await withClient(async (channel) => {
      const { queue: victim } = await channel.assertQueue('', { exclusive: true });
      const addresses = [victim, 'amq.rabbitmq.reply-to-', `${own.lab.exchange}.command.work`];
      for (const replyTo of addresses)
        channel.sendToQueue(group, json('forged'), { ...PLAIN, replyTo, correlationId: 'c', messageId: replyTo });
      await until('they are dead letters', async () => (await deadLetters.count(group)) >= 3);
      const letters = await deadLetters.list(group, { limit: 10 });
      expect(letters.map(({ reason }) => reason)).toEqual(letters.map(() => 'not-retryable'));
      await quiet();
      expect(await channel.checkQueue(victim)).toMatchObject({ messageCount: 0 });
    });
    expect(seen.items).toEqual([]);
    expect(own.lab.lines.filter((line) => line.includes('Said once'))).toHaveLength(1);
  });

  it('an answer of 10 MiB is not sent: whoever asked is told so', async () => {
    const { bus } = await own.lab.boot({
      providers: [commandHandler('work', () => 'x'.repeat(10 * MIB))],
      options: { transport: own.node.url() },
    });
    own.lab.willRemoveGroup(`${own.lab.exchange}.command.work`);
    expect((await remoteError(bus.request('work'))).message).toContain('could not be sent');
    expect(bus.status).toBe('up');
  });
});
