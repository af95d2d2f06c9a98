import { describe, expect, it } from '@jest/globals';
import {
  BatchError,
  BrokerBlockedError,
  BusClosedError,
  ConfigurationError,
  ConnectionError,
  DeadLetterError,
  DecodeError,
  EventBusError,
  HandlerTimeoutError,
  MessageTooLargeError,
  PublishRejectedError,
  PublishTimeoutError,
  RetryLaterError,
  TopologyConflictError,
  UnroutableError,
  ValidationError,
} from '../../../lib/core/errors.js';
import { problemsOf } from '../support/caught.js';

const CAUSE = new Error('cause');

describe('errors', () => {
  // code and retryable are what programs decide by; what the text must hold is what people need
  it.each<[() => EventBusError, string, string, boolean, string[]]>([
    [() => new EventBusError('OWN', 'text'), 'EventBusError', 'OWN', false, ['text']],
    [() => new EventBusError('OWN', 'text', { retryable: true }), 'EventBusError', 'OWN', true, ['text']],
    [() => new BusClosedError('publish'), 'BusClosedError', 'BUS_CLOSED', false, ['publish', 'closed']],
    [
      () => new UnroutableError('events', 'a.b'),
      'UnroutableError',
      'UNROUTABLE',
      false,
      ['"events"', '"a.b"', "unroutable: 'warn'"],
    ],
    [
      () => new UnroutableError('events', 'a.b', 'events.ae'),
      'UnroutableError',
      'UNROUTABLE',
      false,
      ['"events"', '"a.b"', '"events.ae"', 'Bind'],
    ],
    [() => new PublishRejectedError('nack'), 'PublishRejectedError', 'PUBLISH_REJECTED', true, ['nack']],
    [
      () => new PublishRejectedError('full', { retryable: false }, 'BUFFER_FULL'),
      'PublishRejectedError',
      'BUFFER_FULL',
      false,
      ['full'],
    ],
    [
      () => new PublishTimeoutError('a.b', 50, true),
      'PublishTimeoutError',
      'PUBLISH_TIMEOUT',
      true,
      ['"a.b"', '50 ms', 'unknown', 'same id'],
    ],
    [
      () => new PublishTimeoutError('a.b', 50, false),
      'PublishTimeoutError',
      'PUBLISH_TIMEOUT',
      true,
      ['"a.b"', '50 ms', 'stored nowhere'],
    ],
    [
      () => new BrokerBlockedError('a.b', 50),
      'BrokerBlockedError',
      'BROKER_BLOCKED',
      true,
      ['"a.b"', '50 ms', 'blocks publishers'],
    ],
    [
      () => new MessageTooLargeError('Headers', 9, 8),
      'MessageTooLargeError',
      'MESSAGE_TOO_LARGE',
      false,
      ['Headers', '9 bytes', '8'],
    ],
    [() => new DecodeError('bad'), 'DecodeError', 'UNDECODABLE', false, ['bad']],
    [() => new ValidationError('bad'), 'ValidationError', 'VALIDATION', false, ['bad']],
    [() => new ValidationError('bad', [], {}, 'UNSERIALIZABLE'), 'ValidationError', 'UNSERIALIZABLE', false, ['bad']],
    [() => new ConfigurationError('bad'), 'ConfigurationError', 'CONFIGURATION', false, ['bad']],
    [() => new TopologyConflictError([]), 'TopologyConflictError', 'TOPOLOGY_CONFLICT', false, ['']],
    [() => new ConnectionError('away'), 'ConnectionError', 'CONNECTION', true, ['away']],
    [
      () => new ConnectionError('refused', { retryable: false }, 'ACCESS'),
      'ConnectionError',
      'ACCESS',
      false,
      ['refused'],
    ],
    [() => new HandlerTimeoutError('mail', 50), 'HandlerTimeoutError', 'HANDLER_TIMEOUT', true, ['mail', '50 ms']],
    [() => new DeadLetterError('no'), 'DeadLetterError', 'DEAD_LETTER', false, ['no']],
    [() => new RetryLaterError(50), 'RetryLaterError', 'RETRY_LATER', true, ['50 ms']],
    [() => new RetryLaterError(50, 'own'), 'RetryLaterError', 'RETRY_LATER', true, ['own']],
    [() => new BatchError([[3, new Error('secret')]]), 'BatchError', 'BATCH', true, ['1 item of']],
  ])('%s: a %s has the code %s', (make, name, code, retryable, texts) => {
    const error = make();
    expect(error).toMatchObject({ name, code, retryable });
    expect(error).toBeInstanceOf(EventBusError);
    for (const text of texts) expect(error.message).toContain(text);
  });

  it.each<[string, () => EventBusError]>([
    ['EventBusError', () => new EventBusError('OWN', 'x', { cause: CAUSE })],
    ['PublishRejectedError', () => new PublishRejectedError('x', { cause: CAUSE })],
    ['DecodeError', () => new DecodeError('x', { cause: CAUSE })],
    ['ValidationError', () => new ValidationError('x', [], { cause: CAUSE })],
    ['ConfigurationError', () => new ConfigurationError('x', { cause: CAUSE })],
    ['TopologyConflictError', () => new TopologyConflictError([], { cause: CAUSE })],
    ['ConnectionError', () => new ConnectionError('x', { cause: CAUSE })],
    ['DeadLetterError', () => new DeadLetterError('x', { cause: CAUSE })],
    ['RetryLaterError', () => new RetryLaterError(1, 'x', { cause: CAUSE })],
    ['BatchError', () => new BatchError([], { cause: CAUSE })],
  ])('%s keeps its cause', (_, make) => {
    expect(make().cause).toBe(CAUSE);
  });

  it('keep what programs ask about', () => {
    expect(new PublishTimeoutError('a', 1, true).sent).toBe(true);
    expect(new PublishTimeoutError('a', 1, false).sent).toBe(false);
    expect(new ValidationError('x', ['a: bad']).issues).toEqual(['a: bad']);
    expect(new ValidationError('x').issues).toEqual([]);
    expect(new RetryLaterError(70).delayMs).toBe(70);
  });

  it('a subclass of a user has its own name', () => {
    class OutOfStock extends DeadLetterError {}
    expect(new OutOfStock('x').name).toBe('OutOfStock');
  });
});

describe('ConfigurationError', () => {
  it('tells one problem as it is, and several as a list', () => {
    expect(new ConfigurationError('a is wrong')).toMatchObject({ message: 'a is wrong', problems: ['a is wrong'] });
    expect(new ConfigurationError(['a is wrong'])).toMatchObject({ message: 'a is wrong', problems: ['a is wrong'] });
    expect(new ConfigurationError(['a', 'b'])).toMatchObject({
      message: '2 problems:\n  - a\n  - b',
      problems: ['a', 'b'],
    });
  });
});

describe('TopologyConflictError', () => {
  it('says what differs, or what is missing, each on its line', () => {
    const conflicts = [
      { kind: 'queue', entity: 'mail', argument: 'x-queue-type', have: 'classic', want: 'quorum' },
      { kind: 'exchange', entity: 'events' },
    ] as const;
    const error = new TopologyConflictError(conflicts);
    const [first, second, ...others] = error.message.split('\n');
    expect(first).toMatch(/^Queue "mail" has x-queue-type = classic at the broker, and quorum is wanted here/);
    expect(second).toMatch(/^Exchange "events" does not exist/);
    expect(others).toEqual([]);
    const empty = {
      kind: 'queue',
      entity: 'mail',
      argument: 'x-dead-letter-exchange',
      have: 'dead',
      want: '',
    } as const;
    expect(new TopologyConflictError([empty]).message).toContain(`= dead at the broker, and '' (empty) is wanted`);
    expect(error).toMatchObject({ conflicts, entity: 'mail' });
    expect(new TopologyConflictError([]).entity).toBeUndefined();
  });
});

describe('BatchError', () => {
  const failures = [
    { index: 4, error: CAUSE },
    { index: 0, error: undefined },
  ];

  it.each<[string, ConstructorParameters<typeof BatchError>[0]]>([
    ['a list', failures],
    ['a generator', failures.values()],
    ['a Map', new Map(failures.map(({ index, error }) => [index, error]))],
  ])('keeps what failed, from %s', (_, given) => {
    expect(new BatchError(given).failures).toEqual(failures);
  });
});

describe('RetryLaterError', () => {
  const THIRTY_DAYS = 30 * 86_400_000;

  it.each([0, 1, 0.5, THIRTY_DAYS])('takes %d ms', (delayMs) => {
    expect(new RetryLaterError(delayMs).delayMs).toBe(delayMs);
  });

  it.each([-1, THIRTY_DAYS + 1, Number.NaN, Number.POSITIVE_INFINITY])('refuses %d ms', (delayMs) => {
    expect(problemsOf(() => new RetryLaterError(delayMs))).toEqual([expect.stringContaining('delayMs')]);
  });
});
