import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { AlternateQueues } from '../../../lib/bus/alternate-queues.js';
import { BusExchanges } from '../../../lib/bus/bus-exchanges.js';
import type { EventBusOptions } from '../../../lib/bus/event-bus.options.js';
import { PublishCounters } from '../../../lib/bus/event-bus.stats.js';
import type { HandlerContext } from '../../../lib/bus/event-context.js';
import type { EventDefinition } from '../../../lib/bus/event-definition.js';
import { HandlerScope } from '../../../lib/bus/handler-scope.js';
import { MessageDecoder } from '../../../lib/bus/message-decoder.js';
import type { EventPublishOptions } from '../../../lib/bus/publish-options.js';
import { Publisher, type PublisherOptions } from '../../../lib/bus/publisher.js';
import { resolveOptions } from '../../../lib/bus/resolved-options.js';
import type { UnroutablePolicy } from '../../../lib/bus/unroutable-policy.js';
import { Unroutables } from '../../../lib/bus/unroutables.js';
import {
  ConfigurationError,
  MessageTooLargeError,
  PublishRejectedError,
  UnroutableError,
  ValidationError,
} from '../../../lib/core/errors.js';
import type { Message } from '../../../lib/core/message.js';
import type { StandardSchema } from '../../../lib/core/schema.js';
import { FanoutExchange } from '../../../lib/exchanges/fanout.exchange.js';
import { TopicExchange } from '../../../lib/exchanges/topic.exchange.js';
import { JsonSerializer } from '../../../lib/serializers/json.serializer.js';
import { caughtFrom } from '../support/caught.js';
import { FakeTransport } from '../support/fake.transport.js';
import { RecordingLogger } from '../support/recording.logger.js';

const NOW = 1_700_000_000_000;
const DAY_MS = 86_400_000;
const EXCHANGES = new BusExchanges(resolveOptions(), new TopicExchange(), { audit: new FanoutExchange() });
const TARGET = EXCHANGES.main.events;

function setUp(
  { unroutable = 'warn', ...options }: Partial<PublisherOptions> & { readonly unroutable?: UnroutablePolicy } = {},
  more: EventBusOptions['publish'] = {},
) {
  const transport = new FakeTransport();
  const logger = new RecordingLogger();
  const counters = new PublishCounters();
  const resolved = resolveOptions({ publish: { unroutable, ...more } });
  const unroutables = new Unroutables({
    publish: resolved.publish,
    isKnown: true,
    decoder: new MessageDecoder([new JsonSerializer()]),
    counters,
    logger,
  });
  const sourceOf = (): undefined => undefined;
  const publisher = new Publisher({
    service: 'shop',
    exchanges: EXCHANGES,
    transport,
    serializer: new JsonSerializer(),
    timeoutMs: resolved.publish.timeoutMs,
    unroutables,
    alternates: new AlternateQueues({ options: resolved, exchanges: EXCHANGES, transport, sourceOf }),
    maxMessageBytes: 100,
    maxDepth: resolved.publish.maxDepth,
    counters,
    scope: new HandlerScope(),
    logger,
    ...options,
  });
  const publish = (
    payload: unknown = { n: 1 },
    more?: EventPublishOptions,
    definition?: EventDefinition,
    wait?: boolean,
  ) => publisher.publish('events', 'orders.created', payload, more, definition, wait);
  return { publisher, publish, transport, logger, counters, unroutables };
}

function schemaOf(validate: StandardSchema['~standard']['validate']): StandardSchema {
  return { '~standard': { version: 1, vendor: 'test', validate } };
}

describe('Publisher', () => {
  beforeEach(() => void jest.useFakeTimers({ now: NOW }));
  afterEach(() => void jest.useRealTimers());

  describe('the message', () => {
    it('holds what is known of it and nothing else', async () => {
      const { publish, transport } = setUp();
      const { id } = await publish();
      const [sent] = transport.sent;
      expect(sent?.target).toBe(TARGET);
      expect(sent?.message).toEqual({
        id,
        type: '',
        topic: 'orders.created',
        contentType: 'application/json',
        headers: {},
        body: Buffer.from('{"n":1}'),
        timestamp: NOW,
        source: 'shop',
      });
      // toEqual takes an absent key for one that is undefined; a wire does not
      const keys = ['id', 'type', 'topic', 'contentType', 'headers', 'body', 'timestamp', 'source'];
      expect(Object.keys(sent?.message ?? {})).toEqual(keys);
      expect(id).toMatch(/^[0-9a-f-]{36}$/);
      expect(Object.isFrozen(sent?.message)).toBe(true);
    });

    it('holds what the options ask for', async () => {
      const { publish, transport } = setUp();
      const headers = { region: 'eu' };
      const kept = { id: 'own', type: 'OrderCreated', key: 'k', correlationId: 'c', causationId: 'm' };
      await publish(1, { ...kept, headers, expiresInMs: 500, delayMs: 300 });
      expect(transport.sent[0]?.message).toMatchObject({
        ...kept,
        headers,
        expiresAt: NOW + 500,
        dueAt: NOW + 300,
      });
    });

    it('takes over from the handler that publishes it what belongs to the chain, to its limit', async () => {
      const scope = new HandlerScope();
      const { publish, transport, counters } = setUp({ scope, maxDepth: 5 });
      const inHandler = (message: Partial<Message>, options?: EventPublishOptions) =>
        scope.run({ message } as HandlerContext, publish, 1, options);
      await inHandler({ id: 'm-1', depth: 4 }, { key: 'k' });
      expect(transport.sent[0]?.message).toMatchObject({
        key: 'k',
        correlationId: 'm-1',
        causationId: 'm-1',
        depth: 5,
      });
      const error = await caughtFrom(inHandler({ id: 'm-2', depth: 5 }));
      expect(error).toMatchObject({ code: 'CHAIN_TOO_DEEP', topic: 'orders.created', depth: 6, retryable: false });
      expect(transport.sent).toHaveLength(1);
      expect(counters.read().failed).toBe(1);
      await publish();
      expect(Object.keys(transport.sent[1]?.message ?? {})).not.toContain('depth');
    });

    it('cannot be told its depth', async () => {
      const error = await caughtFrom(setUp().publish(1, { depth: 0 } as object));
      expect(error).toMatchObject({ code: 'CONFIGURATION', message: expect.stringContaining('depth') });
    });

    it('has no due time without a delay, and no source without a service', async () => {
      const { publish, transport } = setUp({ service: undefined });
      await publish(1, { delayMs: 0 });
      expect(transport.sent[0]?.message).not.toHaveProperty('dueAt');
      expect(transport.sent[0]?.message).not.toHaveProperty('source');
    });

    it('is named after its definition, unless the options name it', async () => {
      const { publish, transport } = setUp();
      await publish(1, undefined, { topic: 'orders.created', version: 3 });
      await publish(1, { type: 'own' }, { topic: 'orders.created' });
      expect(transport.sent[0]?.message).toMatchObject({ type: 'orders.created', version: 3 });
      expect(transport.sent[1]?.message.type).toBe('own');
      expect(transport.sent[1]?.message).not.toHaveProperty('version');
    });

    it('is sent as its schema makes it', async () => {
      const { publish, transport } = setUp();
      const schema = schemaOf(async (value) => ({ value: { was: value } }));
      await publish(7, undefined, { topic: 'orders.created', schema });
      expect(Buffer.from(transport.sent[0]?.message.body ?? []).toString()).toBe('{"was":7}');
    });
  });

  describe('refuses before anything is sent', () => {
    const huge = {
      topic: 'orders.created',
      schema: schemaOf(() => ({ issues: [{ message: 'too big', path: ['n'] }] })),
    };

    it.each<[string, (setup: ReturnType<typeof setUp>) => Promise<unknown>, object]>([
      [
        'a topic that is too long',
        ({ publisher }) => publisher.publish('events', 'x'.repeat(300), 1),
        { constructor: ConfigurationError },
      ],
      [
        'a payload that does not fit',
        ({ publish }) => publish(1, undefined, huge),
        { constructor: ValidationError, issues: ['n: too big'], message: expect.stringContaining('"orders.created"') },
      ],
      [
        'a payload that JSON cannot carry',
        ({ publish }) => publish(1n),
        { constructor: ValidationError, code: 'UNSERIALIZABLE', message: expect.stringContaining('BigInt') },
      ],
      [
        'a body above the limit',
        ({ publish }) => publish('x'.repeat(99)),
        {
          constructor: MessageTooLargeError,
          message: expect.stringMatching(/"orders.created": 101 bytes, the limit is 100/),
        },
      ],
      [
        'a reserved header',
        ({ publish }) => publish(1, { headers: { 'x-own': 1 } }),
        { constructor: ConfigurationError },
      ],
    ])('%s', async (_, act, error) => {
      const made = setUp();
      await expect(act(made)).rejects.toMatchObject(error);
      expect(made.transport.sent).toEqual([]);
      expect(made.counters).toMatchObject({ published: 1, confirmed: 0, failed: 1 });
    });

    it('but not a body as large as the limit', async () => {
      await expect(setUp().publish('x'.repeat(98))).resolves.toMatchObject({ state: 'confirmed' });
    });

    it('what a serializer of the user cannot write, whatever it throws', async () => {
      const cause = new TypeError('own');
      const encode = (): never => {
        throw cause;
      };
      const { publish } = setUp({ serializer: { contentType: 'x/y', encode, decode: () => 0 } });
      await expect(publish()).rejects.toMatchObject({
        constructor: ValidationError,
        code: 'UNSERIALIZABLE',
        issues: [],
        cause,
        message: expect.stringContaining('"orders.created"'),
      });
    });
  });

  describe('options', () => {
    const long = 'x'.repeat(256);

    it.each<[string, unknown]>([
      ['id', ''],
      ['id', 'a\nb'],
      ['id', 'é'],
      ['id', long],
      ['id', 7],
      ['type', ''],
      ['type', long],
      ['type', 'a\0b'],
      ['key', ''],
      ['key', long],
      ['correlationId', long],
      ['causationId', long],
      ['expiresInMs', 0],
      ['expiresInMs', 1.5],
      ['delayMs', -1],
      ['delayMs', 30 * DAY_MS + 1],
      ['timeoutMs', 0],
      ['timeoutMs', DAY_MS + 1],
      ['unroutable', 'drop'],
      ['background', 1],
      ['persistent', true],
    ])('%s: %j is refused, by name', async (name, value) => {
      const { publish, transport } = setUp();
      await expect(publish(1, { [name]: value })).rejects.toMatchObject({
        constructor: ConfigurationError,
        problems: [expect.stringMatching(`^publish options.${name} `)],
      });
      expect(transport.sent).toEqual([]);
    });

    it.each<[string, unknown]>([
      ['id', 'x'.repeat(255)],
      ['type', 'é'.repeat(255)],
      ['key', 'x'.repeat(255)],
      ['expiresInMs', 1],
      ['delayMs', 30 * DAY_MS],
      ['timeoutMs', DAY_MS],
      ['unroutable', 'ignore'],
      ['key', undefined],
    ])('%s: at the limit is taken', async (name, value) => {
      await expect(setUp().publish(1, { [name]: value })).resolves.toMatchObject({ state: 'confirmed' });
    });

    it.each<[string, EventPublishOptions | undefined, boolean, object]>([
      ['nothing', undefined, false, {}],
      ['room', undefined, true, { onFull: 'wait' }],
      ['a time', { timeoutMs: 50 }, false, { timeoutMs: 50 }],
      ['a time and room', { timeoutMs: 50 }, true, { timeoutMs: 50, onFull: 'wait' }],
    ])('asking for %s is handed to the transport', async (_, options, wait, expected) => {
      const { publish, transport } = setUp();
      await publish(1, options, undefined, wait);
      expect(transport.sent[0]?.options).toStrictEqual(expected);
    });

    it('hand on the signal', async () => {
      const { publish, transport } = setUp();
      const { signal } = new AbortController();
      await publish(1, { signal });
      expect(transport.sent[0]?.options).toStrictEqual({ signal });
      expect(transport.sent[0]?.options?.signal).toBe(signal);
    });
  });

  describe('the receipt', () => {
    it('says that a group got it', async () => {
      const { publish, counters } = setUp();
      expect(await publish(1, { id: 'own' })).toEqual({
        id: 'own',
        topic: 'orders.created',
        state: 'confirmed',
        routed: true,
      });
      expect(counters.read()).toEqual({ published: 1, confirmed: 1, failed: 0, unroutable: 0, unroutableDropped: 0 });
    });

    it('rejects with the error of the transport', async () => {
      const { publish, transport, counters } = setUp();
      const error = new PublishRejectedError('nack');
      transport.publishing = () => Promise.reject(error);
      await expect(publish()).rejects.toBe(error);
      expect(counters.read()).toEqual({ published: 1, confirmed: 0, failed: 1, unroutable: 0, unroutableDropped: 0 });
    });

    it.each([
      [{ state: 'stored' }, { state: 'stored' }, 0],
      [{ state: 'confirmed' }, { state: 'confirmed' }, 1],
      [{ state: 'confirmed', routed: true }, { state: 'confirmed', routed: true }, 1],
    ] as const)('of a stage that answers %j is %j', async (answer, receipt, confirmed) => {
      const { publish, transport, counters } = setUp({ stage: { send: async () => answer } });
      expect(await publish(1, { id: 'own' })).toStrictEqual({ id: 'own', topic: 'orders.created', ...receipt });
      expect(transport.sent).toEqual([]);
      expect(counters.confirmed).toBe(confirmed);
    });
  });

  describe('an event that no group gets', () => {
    async function unrouted(policy: UnroutablePolicy, options?: EventPublishOptions) {
      const made = setUp({ unroutable: policy });
      made.transport.publishing = async () => ({ routed: false });
      const outcome = await made.publish(1, { id: 'own', ...options }).catch((error: unknown) => error);
      return { ...made, outcome };
    }
    const CONFIRMED = { id: 'own', topic: 'orders.created', state: 'confirmed', routed: false };

    it('is warned of once for each topic', async () => {
      const { publisher, publish, logger, outcome, counters } = await unrouted('warn');
      expect(outcome).toEqual(CONFIRMED);
      await publish();
      expect(logger.lines).toEqual([expect.stringMatching(/^warn: .*"events".*"orders.created"/)]);
      await publisher.publish('events', 'orders.paid', 1);
      expect(logger.lines).toHaveLength(2);
      expect(counters.unroutable).toBe(3);
    });

    it('is warned of again after a thousand other topics, so that what is remembered stays bounded', async () => {
      const { publisher, publish, logger } = await unrouted('warn');
      for (let i = 1; i < 1_000; i++) await publisher.publish('events', `t.${i}`, 1);
      await publish();
      expect(logger.lines).toHaveLength(1_000);
      await publisher.publish('events', 't.1000', 1);
      await publish();
      expect(logger.lines).toHaveLength(1_002);
    });

    it('is an error for who asks for it, and nothing for who does not care', async () => {
      const rejected = await unrouted('reject');
      expect(rejected.outcome).toBeInstanceOf(UnroutableError);
      expect((rejected.outcome as Error).message).toMatch(/"events".*"orders.created"/);
      const ignored = await unrouted('ignore');
      expect(ignored.outcome).toEqual(CONFIRMED);
      expect([...rejected.logger.lines, ...ignored.logger.lines]).toEqual([]);
      expect([rejected.counters.unroutable, ignored.counters.unroutable]).toEqual([1, 1]);
    });

    it('is judged by the options of the publish first', async () => {
      expect((await unrouted('reject', { unroutable: 'ignore' })).outcome).toEqual(CONFIRMED);
      expect((await unrouted('ignore', { unroutable: 'reject' })).outcome).toBeInstanceOf(UnroutableError);
    });

    it('is stored as it was sent, and told as the transport has put it', async () => {
      const { publish, transport, unroutables, logger, counters } = setUp(
        {
          unroutable: 'store',
          middleware: [
            async (context, next) => {
              context.message = { ...context.message, headers: { trace: 't-1' } };
              await next();
            },
          ],
        },
        { unroutableStore: { messages: 1 } },
      );
      transport.publishing = async () => ({ routed: false, returned: { code: 313, text: 'NO_CONSUMERS' } });
      for (const id of ['a', 'b', 'c']) await publish({ n: 1 }, { id });
      expect(unroutables.pop()).toEqual([
        {
          id: 'c',
          topic: 'orders.created',
          exchange: 'events',
          broadcast: false,
          payload: { n: 1 },
          body: new Uint8Array(Buffer.from('{"n":1}')),
          headers: { trace: 't-1' },
          message: expect.objectContaining({ id: 'c', source: 'shop' }),
          replyCode: 313,
          replyText: 'NO_CONSUMERS',
          at: NOW,
        },
      ]);
      expect(unroutables.pop()).toEqual([]);
      expect(counters).toMatchObject({ confirmed: 3, unroutable: 3, unroutableDropped: 2 });
      expect(logger.lines).toEqual([expect.stringMatching(/^warn: The store of unroutable events is full/)]);
    });

    it('has no payload where a middleware has made it unreadable, and the code of AMQP where the transport tells none', async () => {
      const { publish, transport, unroutables } = setUp({
        unroutable: 'store',
        middleware: [
          async (context, next) => {
            context.message = { ...context.message, body: Buffer.from('{') };
            await next();
          },
        ],
      });
      transport.publishing = async () => ({ routed: false });
      await publish();
      const [kept] = unroutables.pop();
      expect(kept).not.toHaveProperty('payload');
      expect(kept).toMatchObject({ body: new Uint8Array([123]), replyCode: 312, replyText: 'NO_ROUTE' });
    });

    it('goes to the alternate exchange of its exchange, as it was sent, with the time and the signal that are left', async () => {
      const { publisher, transport, counters, logger } = setUp({
        unroutable: 'alternate-exchange',
        middleware: [
          async (context, next) => {
            context.message = { ...context.message, headers: { trace: 't-1' } };
            await next();
          },
        ],
      });
      const names = (): readonly unknown[] =>
        transport.sent.map(({ target }) => target.kind === 'exchange' && target.exchange.name);
      transport.publishing = async (_, target) => {
        const isAlternate = target.kind === 'exchange' && target.exchange.name.endsWith('.ae');
        if (!isAlternate) await jest.advanceTimersByTimeAsync(400);
        return { routed: isAlternate };
      };
      const { signal } = new AbortController();
      const receipt = await publisher.publish('broadcasts', 'orders.created', 1, {
        id: 'own',
        timeoutMs: 1_000,
        signal,
      });
      expect(receipt).toEqual(CONFIRMED);
      await publisher.publish('events', 'orders.created', 1, { exchange: 'audit' });
      expect(names()).toEqual(['events.broadcast', 'events.ae', 'audit', 'audit.ae']);
      const [first, second] = transport.sent;
      expect(second?.message).toBe(first?.message);
      expect(second?.message.headers).toEqual({ trace: 't-1' });
      expect(second?.options).toStrictEqual({ timeoutMs: 600, onFull: 'wait', signal });
      expect(transport.sent[3]?.options).toStrictEqual({ timeoutMs: 9_600, onFull: 'wait' });
      expect(counters).toMatchObject({ confirmed: 2, failed: 0, unroutable: 2 });
      expect(logger.lines).toEqual([]);
    });

    it('rejects when the alternate exchange does not take it', async () => {
      const { publish, transport, counters } = setUp({ unroutable: 'alternate-exchange' });
      const error = new PublishRejectedError('nack');
      let sent = 0;
      transport.publishing = () => (sent++ === 0 ? Promise.resolve({ routed: false }) : Promise.reject(error));
      await expect(publish()).rejects.toBe(error);
      expect(counters).toMatchObject({ confirmed: 0, failed: 1, unroutable: 1 });
    });
  });

  describe('in the background', () => {
    it('resolves at once; what comes of it is counted', async () => {
      const { publish, transport, counters } = setUp();
      let confirm: (routed: { routed: boolean }) => void = () => undefined;
      transport.publishing = () => new Promise((resolve) => (confirm = resolve));
      expect(await publish(1, { id: 'own', background: true, timeoutMs: 9 })).toEqual({
        id: 'own',
        topic: 'orders.created',
        state: 'queued',
      });
      expect(transport.sent[0]?.options).toEqual({ timeoutMs: 9 });
      expect(counters.confirmed).toBe(0);
      confirm({ routed: true });
      await jest.advanceTimersByTimeAsync(0);
      expect(counters.read()).toEqual({ published: 1, confirmed: 1, failed: 0, unroutable: 0, unroutableDropped: 0 });
    });

    it('logs and counts a failure', async () => {
      const { publish, transport, counters, logger } = setUp();
      transport.publishing = () => Promise.reject(new PublishRejectedError('nack'));
      await publish(1, { id: 'own', background: true });
      await jest.advanceTimersByTimeAsync(0);
      expect(counters.failed).toBe(1);
      expect(logger.lines).toEqual([expect.stringMatching(/^error: "orders.created" \(own\).*nack/)]);
    });

    it('warns of an event that no group gets, even where that is an error: nobody is there to catch it', async () => {
      const { publish, transport, counters, logger } = setUp({ unroutable: 'reject' });
      transport.publishing = async () => ({ routed: false });
      await publish(1, { background: true, unroutable: 'reject' });
      await jest.advanceTimersByTimeAsync(0);
      expect(logger.lines).toEqual([expect.stringMatching(/^warn: No group/)]);
      expect(counters.failed).toBe(0);
    });

    it('says nothing of one that nobody cares for', async () => {
      const { publish, transport, counters, logger } = setUp();
      transport.publishing = async () => ({ routed: false });
      await publish(1, { background: true, unroutable: 'ignore' });
      await jest.advanceTimersByTimeAsync(0);
      expect(logger.lines).toEqual([]);
      expect(counters).toMatchObject({ confirmed: 1, unroutable: 1 });
    });

    it('logs and counts one that could not be kept', async () => {
      const { publish, transport, counters, logger } = setUp({ unroutable: 'alternate-exchange' });
      transport.publishing = async () => ({ routed: false });
      await publish(1, { id: 'own', background: true });
      await jest.advanceTimersByTimeAsync(0);
      expect(logger.lines).toEqual([expect.stringMatching(/^error: "orders.created" \(own\).*UnroutableError/)]);
      expect(counters).toMatchObject({ confirmed: 0, failed: 1, unroutable: 1 });
    });

    it('refuses at once what cannot be sent', async () => {
      await expect(setUp().publish(1n, { background: true })).rejects.toBeInstanceOf(ValidationError);
    });
  });

  describe('middleware', () => {
    it('runs around the sending and can put another message in place', async () => {
      const log: string[] = [];
      const { publish, transport } = setUp({
        middleware: [
          async (context, next) => {
            context.message = { ...context.message, headers: { ...context.message.headers, trace: 't-1' } };
            await next();
            log.push(`sent ${transport.sent.length}`);
          },
        ],
      });
      await expect(publish()).resolves.toMatchObject({ state: 'confirmed', routed: true });
      expect(transport.sent[0]?.message.headers).toEqual({ trace: 't-1' });
      expect(log).toEqual(['sent 1']);
    });

    it('that neither sends nor throws is an error: nothing may be lost silently', async () => {
      const { publish, counters } = setUp({ middleware: [async () => undefined] });
      await expect(publish()).rejects.toThrow('next()');
      expect(counters).toMatchObject({ confirmed: 0, failed: 1 });
    });

    it('is none when the list is empty', async () => {
      await expect(setUp({ middleware: [] }).publish()).resolves.toMatchObject({ state: 'confirmed' });
    });
  });
});
