import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { of, throwError } from 'rxjs';
import { Dispatcher, type DispatcherOptions } from '../../../lib/bus/dispatcher.js';
import { GroupCounters } from '../../../lib/bus/event-bus.stats.js';
import type { EventContext } from '../../../lib/bus/event-context.js';
import { EventRegistry } from '../../../lib/bus/event-registry.js';
import { GroupInbox } from '../../../lib/bus/group-inbox.js';
import type { Handler } from '../../../lib/bus/handler.js';
import { HandlerMatcher } from '../../../lib/bus/handler-matcher.js';
import { HandlerScope } from '../../../lib/bus/handler-scope.js';
import { MessageDecoder } from '../../../lib/bus/message-decoder.js';
import { PrivateRetries } from '../../../lib/bus/private-delivery.js';
import type { Runner } from '../../../lib/bus/runner.js';
import { ACK, type Delivery, RELEASE } from '../../../lib/core/delivery.js';
import {
  BusClosedError,
  ChainTooDeepError,
  DeadLetterError,
  DecodeError,
  HandlerTimeoutError,
  RetryLaterError,
  ValidationError,
} from '../../../lib/core/errors.js';
import { IdSource } from '../../../lib/core/id-source.js';
import type { StandardSchema } from '../../../lib/core/schema.js';
import { TopicExchange } from '../../../lib/exchanges/topic.exchange.js';
import { JsonSerializer } from '../../../lib/serializers/json.serializer.js';
import { FakeDelivery } from '../support/fake.delivery.js';
import { RecordingLogger } from '../support/recording.logger.js';

const NOW = 1_700_000_000_000;
const HOUR_MS = 3_600_000;
const JSON_SERIALIZER = new JsonSerializer();

type Invoke = Handler['invoke'];

function setUp(
  invoke: Invoke = () => undefined,
  more: Partial<DispatcherOptions> = {},
  handler: Partial<Handler> = {},
) {
  const counters = new GroupCounters();
  const handled = jest.fn(invoke);
  const emit = jest.fn<DispatcherOptions['emit']>(async () => undefined);
  const dispatcher = new Dispatcher({
    group: 'mail.welcome',
    matcher: new HandlerMatcher(new TopicExchange(), [
      { place: 'Mail.onOrder', rules: [{ pattern: 'orders.*' }], invoke: handled, ...handler },
    ]),
    retry: { delaysMs: [10, 20] },
    unmatched: { delaysMs: [70] },
    timeoutMs: 5_000,
    decoder: new MessageDecoder([JSON_SERIALIZER], 50),
    delay: 'exact',
    counters,
    scope: new HandlerScope(),
    emit,
    registry: new EventRegistry(),
    ...more,
  });
  return { dispatcher, counters, handled, emit };
}

const fails = (error: unknown) => (): never => {
  throw error;
};

function schemaOf(validate: StandardSchema['~standard']['validate']): StandardSchema {
  return { '~standard': { version: 1, vendor: 'test', validate } };
}

describe('Dispatcher', () => {
  beforeEach(() => void jest.useFakeTimers({ now: NOW }));
  afterEach(() => void jest.useRealTimers());

  describe('a handler that succeeds', () => {
    it('gets the decoded payload and the delivery, and the delivery is acknowledged', async () => {
      const { dispatcher, counters, handled } = setUp();
      const delivery = new FakeDelivery({ attempt: 2 });
      expect(await dispatcher.handle(delivery)).toBe(ACK);
      const [payload, context] = handled.mock.calls[0] ?? [];
      expect(payload).toEqual({ n: 1 });
      expect(context).toMatchObject({ group: 'mail.welcome', attempt: 2, message: delivery.message });
      expect(counters.handled).toBe(1);
    });

    it('is waited for', async () => {
      let isDone = false;
      const { dispatcher } = setUp(async () => {
        await Promise.resolve();
        isDone = true;
      });
      await dispatcher.handle(new FakeDelivery());
      expect(isDone).toBe(true);
    });

    it.each([false, true])('may answer with an Observable, with middleware: %s', async (isWrapped) => {
      const middleware = isWrapped ? [(_: unknown, next: () => Promise<void>) => next()] : [];
      expect(await setUp(() => of(), { middleware }).dispatcher.handle(new FakeDelivery())).toBe(ACK);
      const failing = setUp(() => throwError(() => new RangeError('later')), { middleware });
      expect(await failing.dispatcher.handle(new FakeDelivery())).toMatchObject({
        kind: 'retry',
        failure: { name: 'RangeError' },
      });
    });

    it.each([false, true])('runs an async generator to its end, with middleware: %s', async (isWrapped) => {
      const middleware = isWrapped ? [(_: unknown, next: () => Promise<void>) => next()] : [];
      let given = 0;
      async function* values(to: number) {
        while (given < to) yield given++;
        if (to > 3) throw new RangeError('later');
      }
      expect(await setUp(() => values(3), { middleware }).dispatcher.handle(new FakeDelivery())).toBe(ACK);
      expect(given).toBe(3);
      expect(await setUp(() => values(4), { middleware }).dispatcher.handle(new FakeDelivery())).toMatchObject({
        kind: 'retry',
        failure: { name: 'RangeError' },
      });
    });

    it('an async generator that the shutdown has cut off is given back: it has not come to its end', async () => {
      const delivery = new FakeDelivery();
      async function* values() {
        for (let n = 0; ; n++) {
          if (n === 2) delivery.abort(new BusClosedError('go on handling'));
          yield n;
        }
      }
      expect(await setUp(() => values()).dispatcher.handle(delivery)).toBe(RELEASE);
    });

    it('is acknowledged even though the shutdown has aborted it: it did end', async () => {
      const { dispatcher } = setUp((_, context) => {
        delivery.abort(new BusClosedError('go on handling'));
        return context.signal.aborted;
      });
      const delivery = new FakeDelivery();
      expect(await dispatcher.handle(delivery)).toBe(ACK);
    });
  });

  describe('time', () => {
    it.each([
      [-1, true],
      [0, true],
      [1, false],
    ])('of expiry %d ms from now: dropped is %s', async (ms, isDropped) => {
      const { dispatcher, counters, handled } = setUp();
      expect(await dispatcher.handle(new FakeDelivery({ message: { expiresAt: NOW + ms } }))).toEqual({
        kind: 'ack',
        ...(isDropped && { unhandled: 'expired' }),
      });
      expect(handled).toHaveBeenCalledTimes(isDropped ? 0 : 1);
      expect([counters.expired, counters.handled]).toEqual(isDropped ? [1, 0] : [0, 1]);
    });

    it('a message that is due is handled, up to 20 ms early', async () => {
      const { dispatcher, handled } = setUp();
      for (const ms of [-HOUR_MS, 0, 20]) {
        expect(await dispatcher.handle(new FakeDelivery({ message: { dueAt: NOW + ms } }))).toBe(ACK);
      }
      expect(handled).toHaveBeenCalledTimes(3);
    });

    it('a message that is not due waits without counting anything', async () => {
      const { dispatcher, handled, counters } = setUp();
      const dueAt = NOW + 21;
      expect(await dispatcher.handle(new FakeDelivery({ message: { dueAt }, attempt: 2, deferrals: 7 }))).toEqual({
        kind: 'retry',
        delayMs: 21,
        attempt: 2,
        dueAt,
        deferrals: 7,
      });
      expect(handled).not.toHaveBeenCalled();
      expect(counters).toEqual(new GroupCounters());
    });

    it.each([
      ['exact', 21, 21],
      ['exact', 30 * 24 * HOUR_MS, 2 ** 31 - 1],
      ['levels', 21, 1_000],
      ['levels', 999, 1_000],
      ['levels', 4_999, 1_000],
      ['levels', 5_000, 5_000],
      ['levels', 124_999, 25_000],
      ['levels', 125_000, 125_000],
      ['levels', 100 * HOUR_MS, HOUR_MS],
    ] as const)('with delays that are %s it waits for %d ms in a first step of %d ms', async (delay, ms, step) => {
      const { dispatcher } = setUp(undefined, { delay });
      const outcome = await dispatcher.handle(new FakeDelivery({ message: { dueAt: NOW + ms } }));
      expect(outcome).toMatchObject({ kind: 'retry', delayMs: step, dueAt: NOW + ms });
    });
  });

  describe('a message that no bus can have published', () => {
    it('is dead at once when the transport could not read all of it, and before anything else is looked at', async () => {
      const { dispatcher, handled, counters } = setUp();
      const message = { expiresAt: NOW - 1, dueAt: NOW + HOUR_MS, body: Buffer.from('{') };
      const outcome = await dispatcher.handle(new FakeDelivery({ message, defect: 'The headers are too many.' }));
      expect(outcome).toMatchObject({
        kind: 'dead',
        reason: 'undecodable',
        failure: { name: 'DecodeError', message: 'The headers are too many.' },
      });
      expect(handled).not.toHaveBeenCalled();
      expect(counters).toEqual(new GroupCounters());
    });

    it.each(['exact', 'levels'] as const)('is dead when it is due in more than 30 days (%s)', async (delay) => {
      const { dispatcher } = setUp(undefined, { delay });
      for (const dueAt of [NOW + 30 * 24 * HOUR_MS + HOUR_MS + 1, Number.MAX_SAFE_INTEGER]) {
        const outcome = await dispatcher.handle(new FakeDelivery({ message: { dueAt } }));
        expect(outcome).toMatchObject({ kind: 'dead', reason: 'validation', failure: { name: 'ValidationError' } });
      }
      // clocks differ
      const bearable = { dueAt: NOW + 30 * 24 * HOUR_MS + HOUR_MS };
      expect(await dispatcher.handle(new FakeDelivery({ message: bearable }))).toMatchObject({ kind: 'retry' });
    });
  });

  describe('a message that no handler here understands', () => {
    const message = { topic: 'invoices.paid' };

    it('is tried again by a policy of its own, then dead', async () => {
      const { dispatcher, handled } = setUp();
      expect(await dispatcher.handle(new FakeDelivery({ message }))).toMatchObject({
        kind: 'retry',
        delayMs: 70,
        attempt: 1,
        misses: 1,
        failure: { name: 'Unmatched', message: expect.stringContaining('"mail.welcome"') },
      });
      expect(await dispatcher.handle(new FakeDelivery({ message, attempt: 2, misses: 1 }))).toMatchObject({
        kind: 'dead',
        reason: 'unmatched',
        attempts: 3,
        failure: { name: 'Unmatched' },
      });
      expect(handled).not.toHaveBeenCalled();
    });

    it('takes no attempt from a handler that understands it at last', async () => {
      const { dispatcher } = setUp(() => {
        throw new Error('not yet');
      });
      expect(await dispatcher.handle(new FakeDelivery({ misses: 9 }))).toMatchObject({ kind: 'retry', attempt: 2 });
    });

    it('is nothing to a private queue', async () => {
      const { dispatcher, counters } = setUp(undefined, { unmatched: undefined });
      expect(await dispatcher.handle(new FakeDelivery({ message }))).toEqual({ kind: 'ack', unhandled: 'unmatched' });
      expect(counters).toEqual(new GroupCounters());
    });
  });

  describe('the body', () => {
    it.each(['', 'application/json', 'application/json; charset=utf-8', ' Application/JSON ;x'])(
      'of type "%s" is read as JSON',
      async (contentType) => {
        const { dispatcher, handled } = setUp();
        expect(await dispatcher.handle(new FakeDelivery({ message: { contentType } }))).toBe(ACK);
        expect(handled.mock.calls[0]?.[0]).toEqual({ n: 1 });
      },
    );

    it.each<[string, object, string]>([
      ['of an unknown type', { contentType: 'text/plain' }, 'content type'],
      ['that is broken', { body: Buffer.from('{') }, 'not valid JSON'],
      ['above the limit', { body: Buffer.from(`"${'x'.repeat(49)}"`) }, '51 bytes; the limit is 50'],
    ])('%s is dead at once, and no handler runs', async (_, message, text) => {
      const { dispatcher, handled } = setUp();
      expect(await dispatcher.handle(new FakeDelivery({ message }))).toMatchObject({
        kind: 'dead',
        reason: 'undecodable',
        failure: { name: 'DecodeError', message: expect.stringContaining(text) },
      });
      expect(handled).not.toHaveBeenCalled();
    });

    it('as large as the limit is handled', async () => {
      const { dispatcher } = setUp();
      expect(await dispatcher.handle(new FakeDelivery({ message: { body: Buffer.from(`"${'x'.repeat(48)}"`) } }))).toBe(
        ACK,
      );
    });

    it('that a serializer of the user refuses is undecodable, whatever it throws', async () => {
      const decoder = new MessageDecoder([
        {
          contentType: 'x/y',
          encode: () => Buffer.of(),
          decode: fails(new TypeError('secret')),
        },
      ]);
      const { dispatcher } = setUp(undefined, { decoder });
      expect(await dispatcher.handle(new FakeDelivery({ message: { contentType: 'x/y' } }))).toMatchObject({
        kind: 'dead',
        reason: 'undecodable',
        failure: { name: 'DecodeError', message: 'The body cannot be decoded.' },
      });
    });

    it('is handled as its schema makes it', async () => {
      const schema = schemaOf(async (value) => ({ value: { checked: value } }));
      const { dispatcher, handled } = setUp(undefined, {}, { schema });
      expect(await dispatcher.handle(new FakeDelivery())).toBe(ACK);
      expect(handled.mock.calls[0]?.[0]).toEqual({ checked: { n: 1 } });
    });

    it('that its schema refuses is dead at once', async () => {
      const schema = schemaOf(() => ({ issues: [{ message: 'too small', path: ['n'] }] }));
      const { dispatcher, handled } = setUp(undefined, {}, { schema });
      expect(await dispatcher.handle(new FakeDelivery())).toMatchObject({
        kind: 'dead',
        reason: 'validation',
        failure: { message: expect.stringMatching(/Mail\.onOrder.*n: too small/) },
      });
      expect(handled).not.toHaveBeenCalled();
    });
  });

  describe('a request', () => {
    it('is answered with its failure, and neither retried nor dead', async () => {
      const refused: unknown[] = [];
      const refuse: NonNullable<DispatcherOptions['refuse']> = ({ replyTo }, error) => {
        if (replyTo === undefined) return false;
        refused.push(error);
        return true;
      };
      const error = new Error('as asked');
      const { dispatcher } = setUp(fails(error), { refuse });
      const event = new FakeDelivery();
      const { message } = event;
      const request = (fields = {}): FakeDelivery =>
        new FakeDelivery({ message: { ...message, replyTo: 'back', ...fields } });
      const done = (name: string) => ({
        kind: 'ack',
        unhandled: 'refused',
        failure: expect.objectContaining({ name }),
      });
      expect(await dispatcher.handle(request())).toEqual(done('Error'));
      expect(await dispatcher.handle(request({ body: Buffer.from('{') }))).toEqual(done('DecodeError'));
      expect(dispatcher.timedOut(request())).toEqual(done('HandlerTimeoutError'));
      expect(refused).toEqual([error, expect.any(DecodeError), expect.any(HandlerTimeoutError)]);
      expect(await dispatcher.handle(event)).toMatchObject({ kind: 'retry' });
      const aborted = request();
      aborted.abort(new BusClosedError('go on'));
      expect(await dispatcher.handle(aborted)).toBe(RELEASE);
      expect(refused).toHaveLength(3);
    });
  });

  describe('a handler that fails', () => {
    it.each([
      [1, { kind: 'retry', delayMs: 10, attempt: 2 }],
      [2, { kind: 'retry', delayMs: 20, attempt: 3 }],
      [3, { kind: 'dead', reason: 'attempts-exhausted' }],
      [9, { kind: 'dead', reason: 'attempts-exhausted' }],
    ])('in attempt %d follows the policy', async (attempt, outcome) => {
      const { dispatcher, counters } = setUp(fails(new RangeError('no stock')));
      const settlement = await dispatcher.handle(new FakeDelivery({ attempt }));
      expect(settlement).toMatchObject({ ...outcome, failure: { name: 'RangeError', message: 'no stock' } });
      expect(counters.handled).toBe(0);
    });

    it.each<[string, unknown, string]>([
      ['DeadLetterError', new DeadLetterError('unknown currency'), 'not-retryable'],
      ['DecodeError', new DecodeError('inner body'), 'undecodable'],
      ['ValidationError', new ValidationError('bad field'), 'validation'],
    ])('with a %s is dead at once', async (name, error, reason) => {
      const { dispatcher } = setUp(fails(error));
      expect(await dispatcher.handle(new FakeDelivery())).toMatchObject({ kind: 'dead', reason, failure: { name } });
    });

    it('with a RetryLaterError comes again at that time, the attempt not counted', async () => {
      const { dispatcher } = setUp(fails(new RetryLaterError(400)));
      expect(await dispatcher.handle(new FakeDelivery({ attempt: 3, deferrals: 99 }))).toEqual({
        kind: 'retry',
        delayMs: 400,
        attempt: 3,
        dueAt: NOW + 400,
        deferrals: 100,
      });
      expect(await dispatcher.handle(new FakeDelivery({ deferrals: 100 }))).toMatchObject({
        kind: 'dead',
        reason: 'deferrals-exhausted',
      });
    });

    it('with a RetryLaterError of 0 ms waits at least one', async () => {
      const { dispatcher } = setUp(fails(new RetryLaterError(0)));
      expect(await dispatcher.handle(new FakeDelivery())).toMatchObject({ kind: 'retry', delayMs: 1, dueAt: NOW });
    });

    it('is asked about by the policy', async () => {
      const retryable = jest.fn((error: unknown) => !(error instanceof RangeError));
      const of = (error: Error) =>
        setUp(fails(error), { retry: { delaysMs: [10], retryable } }).dispatcher.handle(new FakeDelivery());
      expect(await of(new RangeError('x'))).toMatchObject({ kind: 'dead', reason: 'not-retryable' });
      expect(await of(new TypeError('x'))).toMatchObject({ kind: 'retry', delayMs: 10 });
    });

    it('is tried again when the policy itself throws', async () => {
      const retry = { delaysMs: [10], retryable: fails(new Error('policy')) };
      const { dispatcher } = setUp(fails(new RangeError('x')), { retry });
      expect(await dispatcher.handle(new FakeDelivery())).toMatchObject({
        kind: 'retry',
        failure: { name: 'RangeError' },
      });
    });

    it('with an error that its surroundings call final is dead for that reason', async () => {
      const classify = (error: unknown) => (error instanceof RangeError ? ('forbidden' as const) : undefined);
      const final = setUp(fails(new RangeError('no')), {}, { classify, explain: () => 'role missing' });
      expect(await final.dispatcher.handle(new FakeDelivery())).toMatchObject({
        kind: 'dead',
        reason: 'forbidden',
        failure: { name: 'RangeError', message: 'no: role missing', stack: expect.any(String) },
      });
      const unexplained = setUp(fails(new RangeError('no')), {}, { classify });
      expect(await unexplained.dispatcher.handle(new FakeDelivery())).toMatchObject({ failure: { message: 'no' } });
      const other = setUp(fails(new TypeError('no')), {}, { classify });
      expect(await other.dispatcher.handle(new FakeDelivery())).toMatchObject({ kind: 'retry' });
    });

    it('has an explanation that is bounded', async () => {
      const { dispatcher } = setUp(
        fails(new Error('no')),
        {},
        { classify: () => 'forbidden', explain: () => 'x'.repeat(9_000) },
      );
      const outcome = await dispatcher.handle(new FakeDelivery());
      expect(outcome.kind === 'dead' && outcome.failure?.message.length).toBeLessThanOrEqual(1_024);
    });

    it('after the shutdown has aborted it is given back, the attempt not counted', async () => {
      const { dispatcher } = setUp(fails(new DeadLetterError('whatever')));
      const delivery = new FakeDelivery();
      delivery.abort(new BusClosedError('go on handling'));
      expect(await dispatcher.handle(delivery)).toBe(RELEASE);
    });
  });

  describe('a handler that ran too long', () => {
    const timeout = new HandlerTimeoutError('mail.welcome', 5_000);

    it('is tried again with an error that names group and time', () => {
      const { dispatcher, counters } = setUp();
      expect(dispatcher.timedOut(new FakeDelivery())).toMatchObject({
        kind: 'retry',
        delayMs: 10,
        attempt: 2,
        failure: { name: 'HandlerTimeoutError', message: 'mail.welcome ran longer than 5000 ms.' },
      });
      expect(counters.timedOut).toBe(1);
    });

    it.each(['middleware', 'nothing'])('has no effect when it ends after all, with %s around it', async (around) => {
      const middleware = [(_: unknown, next: () => Promise<void>) => next()];
      const { dispatcher, counters, emit } = setUp(
        (_, context) => {
          context.emit('mail.sent', {});
          delivery.abort(timeout);
        },
        around === 'middleware' ? { middleware } : {},
      );
      const delivery = new FakeDelivery();
      expect(await dispatcher.handle(delivery)).toMatchObject({
        kind: 'retry',
        failure: { name: 'HandlerTimeoutError', message: 'mail.welcome ran longer than 5000 ms.' },
      });
      expect(emit).not.toHaveBeenCalled();
      expect(counters.handled).toBe(0);
    });
  });

  describe('what a handler emits', () => {
    const emits: Invoke = (_, context) => {
      context.emit('mail.sent', { to: 1 });
      context.emit('mail.counted', { n: 2 }, { key: 'k', correlationId: 'own' });
    };

    it('is published when it has succeeded, as caused by the message', async () => {
      const scope = new HandlerScope();
      const emitted: unknown[] = [];
      const emit: DispatcherOptions['emit'] = async ({ topic, options }, { origin }) =>
        emitted.push([topic, scope.inherit(options ?? {}, origin)]);
      const { dispatcher } = setUp(emits, { scope, emit });
      expect(await dispatcher.handle(new FakeDelivery({ message: { id: 'm-7', correlationId: 'c-1' } }))).toBe(ACK);
      expect(emitted).toEqual([
        ['mail.sent', { correlationId: 'c-1', causationId: 'm-7', depth: 1 }],
        ['mail.counted', { correlationId: 'own', causationId: 'm-7', key: 'k', depth: 1 }],
      ]);
    });

    it('is not published when it fails', async () => {
      const { dispatcher, emit } = setUp((payload, context) => {
        emits(payload, context);
        throw new Error('after all');
      });
      await dispatcher.handle(new FakeDelivery());
      expect(emit).not.toHaveBeenCalled();
    });

    it('makes the delivery come again when it cannot be published, whatever the reason', async () => {
      const retryable = jest.fn<(error: unknown) => boolean>(() => true);
      const { dispatcher, emit, counters } = setUp(emits, { retry: { delaysMs: [10], retryable } });
      const cause = new ValidationError('emitted payload refused');
      emit.mockRejectedValue(cause);
      expect(await dispatcher.handle(new FakeDelivery())).toMatchObject({
        kind: 'retry',
        failure: { name: 'EventBusError', message: expect.stringContaining('emitted payload refused') },
      });
      expect(retryable).toHaveBeenCalledWith(expect.objectContaining({ code: 'EMIT_FAILED', cause }));
      expect(counters.handled).toBe(0);
    });
  });

  describe('a chain that is too deep', () => {
    const refusal = new ChainTooDeepError('mail.sent', 4, 3);

    it('makes the delivery dead at once, whether the handler publishes or emits', async () => {
      const delivery = () => new FakeDelivery({ message: { depth: 3 } });
      const expected = { kind: 'dead', reason: 'chain-too-deep', failure: { name: 'ChainTooDeepError' } };
      const { dispatcher } = setUp(fails(refusal));
      expect(await dispatcher.handle(delivery())).toMatchObject(expected);
      const emitting = setUp((_, context) => context.emit('mail.sent', {}));
      emitting.emit.mockRejectedValue(refusal);
      expect(await emitting.dispatcher.handle(delivery())).toMatchObject(expected);
      expect(emitting.counters.handled).toBe(0);
    });

    it('of another item of its batch does not', async () => {
      const { dispatcher } = setUp(fails(refusal));
      expect(await dispatcher.handle(new FakeDelivery({ message: { depth: 2 } }))).toMatchObject({ kind: 'retry' });
      expect(await dispatcher.handle(new FakeDelivery())).toMatchObject({ kind: 'retry' });
    });
  });

  describe('middleware', () => {
    it('runs around the handler, the first one outermost', async () => {
      const log: string[] = [];
      const named = (name: string) => async (context: EventContext, next: () => Promise<void>) => {
        log.push(`> ${name} ${context.topic}`);
        await next();
        log.push(`< ${name}`);
      };
      const { dispatcher, counters } = setUp(() => void log.push('handler'), { middleware: [named('a'), named('b')] });
      expect(await dispatcher.handle(new FakeDelivery())).toBe(ACK);
      expect(log).toEqual(['> a orders.created', '> b orders.created', 'handler', '< b', '< a']);
      expect(counters.handled).toBe(1);
    });

    it('can skip the handler, or fail instead of it', async () => {
      const skip = setUp(undefined, { middleware: [async () => undefined] });
      expect(await skip.dispatcher.handle(new FakeDelivery())).toBe(ACK);
      expect(skip.handled).not.toHaveBeenCalled();
      const fail = setUp(undefined, { middleware: [fails(new RangeError('no'))] });
      expect(await fail.dispatcher.handle(new FakeDelivery())).toMatchObject({
        kind: 'retry',
        failure: { message: 'no' },
      });
    });

    it('can emit, and the handler as well', async () => {
      const { dispatcher, emit } = setUp((_, context) => context.emit('inner', 1), {
        middleware: [
          async (context, next) => {
            await next();
            context.emit('outer', 2);
          },
        ],
      });
      await dispatcher.handle(new FakeDelivery());
      expect(emit.mock.calls.map(([{ topic }]) => topic)).toEqual(['inner', 'outer']);
    });

    it('may settle the error of a handler, but not publish what that has emitted', async () => {
      const { dispatcher, emit } = setUp(
        (_, context) => {
          context.emit('inner', 1);
          throw new Error('settled');
        },
        {
          middleware: [
            async (context, next) => {
              await next().catch(() => context.emit('outer', 2));
            },
          ],
        },
      );
      expect(await dispatcher.handle(new FakeDelivery())).toBe(ACK);
      expect(emit.mock.calls.map(([{ topic }]) => topic)).toEqual(['outer']);
    });
  });

  describe('the inbox', () => {
    function withInbox(claim: string, invoke?: Invoke, more: Partial<DispatcherOptions> = {}) {
      const calls: unknown[][] = [];
      const store = {
        claim: async (...args: unknown[]) => {
          calls.push(['claim', ...args]);
          if (claim === 'fails') throw new Error('database away');
          return claim as 'new';
        },
        done: async (...args: unknown[]) => void calls.push(['done', ...args]),
        forget: async (...args: unknown[]) => void calls.push(['forget', ...args]),
      };
      const logger = new RecordingLogger();
      const inbox = new GroupInbox({
        group: 'mail.welcome',
        scope: 'mail.old',
        store,
        timeoutMs: 5_000,
        windowMs: 7_000,
        ids: new IdSource(),
        logger,
      });
      const made = setUp(invoke, { inbox, ...more });
      made.handled.mockImplementation((payload, context) => {
        calls.push(['handler']);
        return invoke?.(payload, context);
      });
      return { ...made, calls, logger, names: () => calls.map(([name]) => name) };
    }

    it('is told before and after a handler that succeeds', async () => {
      const { dispatcher, calls, counters } = withInbox('new');
      expect(await dispatcher.handle(new FakeDelivery())).toBe(ACK);
      const owner: unknown = calls[0]?.at(-1);
      expect(typeof owner).toBe('string');
      expect(calls).toEqual([
        ['claim', 'mail.old', 'm-1', 15_000, owner],
        ['handler'],
        ['done', 'mail.old', 'm-1', 7_000, owner],
      ]);
      expect(counters.handled).toBe(1);
    });

    it('knows each run by another owner', async () => {
      const { dispatcher, calls } = withInbox('new', fails(new Error('no')));
      for (let i = 0; i < 3; i++) await dispatcher.handle(new FakeDelivery());
      const owners = calls.filter(([name]) => name === 'claim').map((call) => call.at(-1));
      expect(new Set(owners).size).toBe(3);
    });

    it('drops what this group has handled', async () => {
      const { dispatcher, handled, counters } = withInbox('done');
      expect(await dispatcher.handle(new FakeDelivery())).toEqual({ kind: 'ack', unhandled: 'duplicate' });
      expect(handled).not.toHaveBeenCalled();
      expect([counters.duplicates, counters.handled]).toEqual([1, 0]);
    });

    it.each([
      ['somebody else is handling', 'busy', 1_000],
      ['the store cannot tell about', 'fails', 5_000],
      ['the store answers nonsense about', 'maybe', 5_000],
    ])('puts off what %s, and counts nothing', async (_, claim, delayMs) => {
      const { dispatcher, handled, names } = withInbox(claim);
      expect(await dispatcher.handle(new FakeDelivery({ attempt: 2, deferrals: 3 }))).toEqual({
        kind: 'retry',
        delayMs,
        attempt: 2,
        dueAt: NOW + delayMs,
        deferrals: 3,
      });
      expect(handled).not.toHaveBeenCalled();
      expect(names()).toEqual(['claim']);
    });

    it.each<[string, unknown]>([
      ['that fails', new RangeError('no')],
      ['that wants to be tried later', new RetryLaterError(400)],
      ['that never wants to see it again', new DeadLetterError('no')],
    ])('forgets a handler %s, so that it can run again', async (_, error) => {
      const { dispatcher, calls, names, counters } = withInbox('new', fails(error));
      expect(await dispatcher.handle(new FakeDelivery())).not.toBe(ACK);
      expect(names()).toEqual(['claim', 'handler', 'forget']);
      expect(calls[2]).toEqual(['forget', 'mail.old', 'm-1', calls[0]?.at(-1)]);
      expect(counters.handled).toBe(0);
    });

    it('forgets a handler whose events could not be published, and remembers one whose events were', async () => {
      const emits: Invoke = (_, context) => context.emit('x', 1);
      const failing = withInbox('new', emits);
      failing.emit.mockRejectedValue(new Error('broker away'));
      await failing.dispatcher.handle(new FakeDelivery());
      expect(failing.names()).toEqual(['claim', 'handler', 'forget']);
      const succeeding = withInbox('new', emits);
      await succeeding.dispatcher.handle(new FakeDelivery());
      expect(succeeding.emit).toHaveBeenCalledTimes(1);
      expect(succeeding.names()).toEqual(['claim', 'handler', 'done']);
    });

    it('is not asked when the payload does not fit: that is dead either way', async () => {
      const { dispatcher, calls } = withInbox('done');
      const delivery = new FakeDelivery({ message: { body: Buffer.from('{') } });
      expect(await dispatcher.handle(delivery)).toMatchObject({ kind: 'dead', reason: 'undecodable' });
      expect(calls).toEqual([]);
    });

    it.each<[string, FakeDelivery]>([
      ['a message without id', new FakeDelivery({ message: { id: '' } })],
      ['a broadcast, which every instance is to handle', aPrivateDelivery()],
    ])('is not asked about %s', async (_, delivery) => {
      const { dispatcher, names } = withInbox('done');
      expect(await dispatcher.handle(delivery)).toBe(ACK);
      expect(names()).toEqual(['handler']);
    });

    it('lets a run that took too long have its effect after all, and remembers it', async () => {
      const { dispatcher, names, counters, emit } = withInbox('new', (_, context) => {
        context.emit('mail.sent', {});
        delivery.abort(new HandlerTimeoutError('mail.welcome', 5_000));
      });
      const delivery = new FakeDelivery();
      expect(await dispatcher.handle(delivery)).toBe(ACK);
      expect(emit).toHaveBeenCalledTimes(1);
      expect(names()).toEqual(['claim', 'handler', 'done']);
      expect(counters.handled).toBe(1);
    });

    it('lets no broadcast that took too long have an effect: it comes again', async () => {
      const { dispatcher, emit } = withInbox('new', (_, context) => {
        context.emit('mail.sent', {});
        delivery.abort(new HandlerTimeoutError('mail.welcome', 5_000));
      });
      const delivery = aPrivateDelivery();
      expect(await dispatcher.handle(delivery)).toMatchObject({ kind: 'retry', attempt: 2 });
      expect(emit).not.toHaveBeenCalled();
    });
  });
});

function aPrivateDelivery(): FakeDelivery {
  const given: Delivery[] = [];
  const runner = { deliver: (delivery: Delivery) => void given.push(delivery) } as unknown as Runner;
  new PrivateRetries(runner).deliver(new FakeDelivery());
  return given[0] as FakeDelivery;
}
