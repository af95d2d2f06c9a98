import { inspect } from 'node:util';
import { describe, expect, it } from '@jest/globals';
import type { ConsumeGroupOptions, EventBusOptions } from '../../../lib/bus/event-bus.options.js';
import { qualify, resolveOptions, resolvePolicy } from '../../../lib/bus/resolved-options.js';
import { ConfigurationError } from '../../../lib/core/errors.js';
import { TopicExchange } from '../../../lib/exchanges/topic.exchange.js';
import { JsonSerializer } from '../../../lib/serializers/json.serializer.js';
import { caught, problemsOf } from '../support/caught.js';

const CANARY = 'amqp://admin:c4n4ry-pa55@broker';
const DAY_MS = 86_400_000;

/** As a user without TypeScript would. */
const resolve = (raw: unknown) => resolveOptions(raw as EventBusOptions);
const problems = (raw: unknown): readonly string[] => problemsOf(() => resolve(raw));

/** `{ a: { b: value } }` for the path `a.b`. */
function at(path: string, value: unknown): Record<string, unknown> {
  const [first = '', ...rest] = path.split('.');
  return { [first]: rest.length === 0 ? value : at(rest.join('.'), value) };
}

describe('resolveOptions: defaults', () => {
  // copied by hand from the tables of the design
  const DEFAULTS = {
    service: undefined,
    namespace: undefined,
    exchange: { name: 'events', type: 'topic' },
    exchanges: [],
    startup: { mode: 'wait', timeoutMs: 30_000 },
    publish: {
      timeoutMs: 10_000,
      window: 1_000,
      unroutable: 'warn',
      unroutableStore: { messages: 1_000, bytes: 16_777_216 },
      maxDepth: 100,
      maxMessageBytes: 1_048_576,
      buffer: { messages: 10_000, bytes: 67_108_864, onFull: 'reject' },
    },
    consume: {
      enabled: true,
      maxConcurrency: 100,
      asyncContext: true,
      unmatched: { delaysMs: expect.any(Array) },
      defaults: {},
      groups: {},
    },
    request: { timeoutMs: 10_000, errorStacks: false },
    shutdown: { deadlineMs: 10_000 },
    rendezvous: { leaseMs: 15_000 },
    autoStart: true,
  };

  it.each<[string, unknown[]]>([
    ['no argument', []],
    ['undefined', [undefined]],
    ['no option', [{}]],
    ['empty groups of options', [{ startup: {}, publish: { buffer: {} }, consume: {}, shutdown: {}, exchange: {} }]],
    [
      'options that are undefined',
      [
        {
          service: undefined,
          transport: undefined,
          exchange: undefined,
          publish: { timeoutMs: undefined, buffer: { bytes: undefined } },
          consume: { enabled: undefined, maxConcurrency: undefined, groups: undefined, unmatched: undefined },
          autoStart: undefined,
          logger: undefined,
        },
      ],
    ],
  ])('are those of the design: %s', (_, [raw]) => {
    expect(resolve(raw)).toEqual(DEFAULTS);
  });

  it('waits 30 s each time for messages that no handler understands', () => {
    const { delaysMs } = resolveOptions().consume.unmatched;
    expect(new Set(delaysMs)).toEqual(new Set([30_000]));
    expect([9, 10]).toContain(delaysMs.length); // 10 × 30 s: attempts or waits
  });

  it('are those of the design for a group as well', () => {
    expect(resolvePolicy(resolveOptions(), 'billing.Invoices.onOrder', {})).toEqual({
      enabled: true,
      concurrency: 10,
      prefetch: 20,
      timeoutMs: 60_000,
      retry: { delaysMs: [1_000, 5_000, 25_000, 125_000, 600_000] },
    });
  });

  it('are the same the second time, whatever was done with the first', () => {
    const first = resolveOptions();
    expect(Object.isFrozen(first)).toBe(true);
    expect(resolveOptions()).toEqual(first);
  });
});

describe('resolveOptions: what is given', () => {
  it('is kept', () => {
    const unmatched = { delaysMs: [1, 2] };
    const onUnroutable = (): void => undefined;
    const groups = { 'orders.*': { enabled: false, prefetch: 3 } };
    expect(
      resolveOptions({
        service: 'billing',
        namespace: 'pr-17',
        transport: 'amqp://broker',
        exchange: { name: 'facts', type: 'direct' },
        exchanges: { audit: 'fanout', docs: { type: 'headers' } },
        serializer: 'json',
        startup: { mode: 'background', timeoutMs: 1 },
        publish: {
          timeoutMs: 2,
          window: 3,
          unroutable: 'alternate-exchange',
          unroutableStore: { messages: 5, bytes: 6 },
          onUnroutable,
          maxDepth: 8,
          maxMessageBytes: 4,
          buffer: { messages: 0, bytes: 0, onFull: 'wait' },
        },
        consume: {
          enabled: ['a.*'],
          concurrency: 5,
          retry: false,
          maxConcurrency: 6,
          asyncContext: false,
          unmatched,
          groups,
        },
        request: { timeoutMs: 8, errorStacks: true },
        shutdown: { deadlineMs: 7 },
        rendezvous: { leaseMs: 2_000 },
        autoStart: false,
        logger: console,
      }),
    ).toEqual({
      service: 'billing',
      namespace: 'pr-17',
      exchange: { name: 'facts', type: 'direct' },
      exchanges: [
        { name: 'audit', type: 'fanout' },
        { name: 'docs', type: 'headers' },
      ],
      startup: { mode: 'background', timeoutMs: 1 },
      publish: {
        timeoutMs: 2,
        window: 3,
        unroutable: 'alternate-exchange',
        unroutableStore: { messages: 5, bytes: 6 },
        onUnroutable,
        maxDepth: 8,
        maxMessageBytes: 4,
        buffer: { messages: 0, bytes: 0, onFull: 'wait' },
      },
      consume: {
        enabled: ['a.*'],
        maxConcurrency: 6,
        asyncContext: false,
        unmatched,
        defaults: { concurrency: 5, retry: false },
        groups,
      },
      request: { timeoutMs: 8, errorStacks: true },
      shutdown: { deadlineMs: 7 },
      rendezvous: { leaseMs: 2_000 },
      autoStart: false,
    });
  });

  it('does not change the options of the user', () => {
    const raw = Object.freeze({ publish: Object.freeze({ buffer: Object.freeze({}) }), consume: Object.freeze({}) });
    expect(() => resolveOptions(raw)).not.toThrow();
  });

  it.each<[unknown, object]>([
    ['facts', { name: 'facts', type: 'topic' }],
    [{ name: 'facts' }, { name: 'facts', type: 'topic' }],
    [{ type: 'fanout' }, { name: 'events', type: 'fanout' }],
    [
      { name: 'facts', type: 'headers' },
      { name: 'facts', type: 'headers' },
    ],
  ])('exchange %j', (exchange, expected) => {
    expect(resolve({ exchange }).exchange).toEqual(expected);
  });

  it('names what an own exchange handler, serializer or logger lacks', () => {
    const of = (...names: string[]) => Object.fromEntries(names.map((name) => [name, () => undefined]));
    expect(problems({ exchange: of('matches', 'assertRule', 'overlap') })).toEqual([
      'exchange must have the methods assertTopic, specificity.',
    ]);
    expect(problems({ serializer: of('encode'), logger: of('log', 'warn') })).toEqual([
      'serializer must have the method decode.',
      'logger must have the method error.',
    ]);
  });

  it('takes an own exchange handler', () => {
    const handler = new TopicExchange();
    const { exchange } = resolveOptions({ exchange: handler });
    expect(exchange).toEqual({ name: 'events', type: 'topic', handler });
    expect(exchange.handler).toBe(handler);
    expect(exchange.name).toBe('events');
  });

  it.each<[string, unknown]>([
    ['memory', 'memory:'],
    ['a URL', CANARY],
    ['options with a type', { type: 'rabbitmq', url: CANARY, anything: 1 }],
    ['an instance', { publish: () => Promise.resolve() }],
  ])('takes as transport: %s', (_, transport) => {
    expect(() => resolve({ transport })).not.toThrow();
  });

  it('takes an own serializer', () => {
    expect(() => resolveOptions({ serializer: new JsonSerializer() })).not.toThrow();
  });

  it.each([true, false, [], ['orders.*', 'users.*']])('takes consume.enabled = %j', (enabled) => {
    expect(resolve({ consume: { enabled } }).consume.enabled).toEqual(enabled);
  });

  it.each(['a', 'A-Z_09', 'orders.v2:eu', 'x'.repeat(60)])('takes the name %s', (name) => {
    expect(resolve({ service: name, namespace: name, exchange: name })).toMatchObject({
      service: name,
      namespace: name,
      exchange: { name },
    });
  });
});

describe('resolveOptions: ranges', () => {
  const RANGES: readonly (readonly [path: string, min: number, max: number])[] = [
    ['startup.timeoutMs', 1, DAY_MS],
    ['publish.timeoutMs', 1, DAY_MS],
    ['publish.window', 1, 100_000],
    ['publish.maxMessageBytes', 1, 134_217_728],
    ['publish.maxDepth', 1, 1_000_000],
    ['publish.buffer.messages', 0, 10_000_000],
    ['publish.buffer.bytes', 0, 2 ** 40],
    ['consume.concurrency', 1, 1_000_000],
    ['consume.maxConcurrency', 1, 1_000_000],
    ['consume.prefetch', 1, 65_535],
    ['consume.timeoutMs', 1, DAY_MS],
    ['shutdown.deadlineMs', 1, DAY_MS],
    ['rendezvous.leaseMs', 1_000, 3_600_000],
  ];

  it.each(RANGES)('%s from %d to %d', (path, min, max) => {
    for (const good of [min, max]) expect(() => resolve(at(path, good))).not.toThrow();
    for (const bad of [min - 1, max + 1, min + 0.5, Number.NaN, Number.POSITIVE_INFINITY]) {
      expect(problems(at(path, bad))).toEqual([`${path} must be a whole number from ${min} to ${max}; got ${bad}.`]);
    }
    for (const bad of ['5', null, true, [5], 5n]) {
      const [problem = '', ...more] = problems(at(path, bad));
      expect(problem.startsWith(`${path} must be a whole number, not `)).toBe(true);
      expect(more).toEqual([]);
    }
  });

  it.each(['concurrency', 'prefetch', 'timeoutMs'])('of %s hold in consume.groups too', (name) => {
    expect(problems({ consume: { groups: { 'orders.*': { [name]: 0 } } } })[0]).toMatch(
      `consume.groups["orders.*"].${name} must be a whole number from 1 to `,
    );
  });
});

describe('resolveOptions: names', () => {
  it.each([
    ['publsh', 'publish'],
    ['Transport', 'transport'],
    ['exchagne', 'exchange'],
    ['namespce', 'namespace'],
    ['serialiser', 'serializer'],
    ['autostart', 'autoStart'],
    ['startup.timeout', 'timeoutMs'],
    ['publish.timoutMs', 'timeoutMs'],
    ['publish.unroutabel', 'unroutable'],
    ['publish.buffer.message', 'messages'],
    ['publish.buffer.onfull', 'onFull'],
    ['consume.concurency', 'concurrency'],
    ['consume.preFetch', 'prefetch'],
    ['consume.retries', 'retry'],
    ['consume.group', 'groups'],
    ['consume.retry.delayMs', 'delaysMs'],
    ['shutdown.deadline', 'deadlineMs'],
    ['exchange.nam', 'name'],
  ])('%s is not an option: did you mean %s?', (path, guess) => {
    expect(problems(at(path, 1))).toContain(`${path} is not an option. Did you mean "${guess}"?`);
  });

  it('lists the options there are when none is near', () => {
    const [problem = '', ...more] = problems({ colourOfTheBikeShed: 1 });
    expect(more).toEqual([]);
    expect(problem).toMatch(/^colourOfTheBikeShed is not an option\. Known: (\w+, )+\w+\.$/);
    for (const known of ['service', 'namespace', 'transport', 'exchange', 'publish', 'consume', 'shutdown', 'logger']) {
      expect(problem).toMatch(new RegExp(`[ ,]${known}[,.]`));
    }
  });

  it('takes an unknown name for a mistake even when its value is undefined', () => {
    expect(problems({ publsh: undefined })).toHaveLength(1);
  });

  it('looks into consume.groups', () => {
    expect(problems({ consume: { groups: { 'a.*': { concurency: 1 }, b: { enbled: true } } } })).toEqual([
      'consume.groups["a.*"].concurency is not an option. Did you mean "concurrency"?',
      'consume.groups["b"].enbled is not an option. Did you mean "enabled"?',
    ]);
  });

  it('cannot be led astray by __proto__', () => {
    expect(problems(JSON.parse('{"__proto__":{"autoStart":false}}'))[0]).toMatch(/^__proto__ is not an option/);
    expect(problems(JSON.parse('{"publish":{"constructor":1}}'))[0]).toMatch(/^publish.constructor is not an option/);
    expect(resolveOptions({}).autoStart).toBe(true);
  });
});

describe('resolveOptions: values', () => {
  it.each<[string, unknown, string]>([
    ['service', 1, 'service must be a string, not a number.'],
    ['service', '', 'service must be 1 to 60 letters, digits or . : _ -.'],
    ['service', 'a b', 'service must be 1 to 60 letters, digits or . : _ -.'],
    ['service', 'a/b', 'service must be 1 to 60 letters, digits or . : _ -.'],
    ['service', 'a\n', 'service must be 1 to 60 letters, digits or . : _ -.'],
    ['service', 'x'.repeat(61), 'service must be 1 to 60 letters, digits or . : _ -.'],
    ['namespace', 'é', 'namespace must be 1 to 60 letters, digits or . : _ -.'],
    ['exchange', '', 'exchange must be 1 to 200 letters, digits or . : _ -.'],
    ['exchange', 5, 'exchange must be an object, not a number.'],
    ['exchange', null, 'exchange must be an object, not null.'],
    [
      'exchange.type',
      'topics',
      'exchange.type must be one of "topic", "direct", "fanout", "headers", "x-rtopic". Did you mean "topic"?',
    ],
    ['exchange.name', '#', 'exchange.name must be 1 to 200 letters, digits or . : _ -.'],
    [
      'serializer',
      'jsn',
      'serializer must be one of "json", "msgpack", "structured", "text", "bytes". Did you mean "json"?',
    ],
    ['serializer', {}, 'serializer must have the methods encode, decode.'],
    ['startup', true, 'startup must be an object, not a boolean.'],
    ['startup.mode', 'waits', 'startup.mode must be one of "wait", "background". Did you mean "wait"?'],
    [
      'publish.unroutable',
      'Warn',
      'publish.unroutable must be one of "warn", "reject", "ignore", "store", "alternate-exchange". Did you mean "warn"?',
    ],
    [
      'publish.unroutableStore.messages',
      0,
      'publish.unroutableStore.messages must be a whole number from 1 to 1000000; got 0.',
    ],
    ['publish.onUnroutable', 'log', 'publish.onUnroutable must be a function, not a string.'],
    ['publish.buffer.onFull', true, 'publish.buffer.onFull must be one of "reject", "wait".'],
    ['consume', [], 'consume must be an object, not an array.'],
    ['consume.enabled', 'yes', 'consume.enabled must be true or false, not a string.'],
    ['consume.enabled', ['a', 1], 'consume.enabled[1] must be a string, not a number.'],
    ['consume.enabled', [''], 'consume.enabled[0] must be a non-empty string.'],
    ['consume.retry', 3, 'consume.retry must be an object, not a number.'],
    ['consume.retry', {}, 'consume.retry.delaysMs is required.'],
    ['consume.unmatched', {}, 'consume.unmatched.delaysMs is required.'],
    ['consume.groups', [], 'consume.groups must be an object, not an array.'],
    ['globalEnhancers', 'inherited', 'globalEnhancers must be one of "none", "inherit". Did you mean "inherit"?'],
    ['transports', 'redis', 'transports must be an array, not a string.'],
    ['transports', [{ type: 'redis', load: 'redis' }], 'transports[0].load must be a function, not a string.'],
    ['autoStart', 'false', 'autoStart must be true or false, not a string.'],
    ['autoStart', 0, 'autoStart must be true or false, not a number.'],
  ])('%s = %j', (path, value, expected) => {
    expect(problems(at(path, value))).toEqual([expected]);
  });

  it.each<[string, unknown]>([
    ['the empty text', ''],
    ['a number', 5],
    ['null', null],
    ['an object without a type', {}],
    ['a type that is no text', { type: 5 }],
    ['an array', ['memory:']],
  ])('transport: %s', (_, transport) => {
    const [problem, ...more] = problems({ transport });
    expect(problem).toMatch(/^transport must be /);
    expect(more).toEqual([]);
  });

  it.each<[string, unknown]>([
    ['a text', 'console'],
    ['null', null],
    ['true', true],
    ['an empty object', {}],
    ['one without log and error', { warn: () => undefined }],
    ['one without warn', { log: () => undefined, error: () => undefined }],
    ['one whose log is no function', { log: 1, warn: () => undefined, error: () => undefined }],
  ])('logger: %s', (_, logger) => {
    expect(problems({ logger })).toEqual([expect.stringMatching(/^logger must have the methods? /)]);
  });

  it.each([
    ['null', null],
    ['a text', 'memory:'],
    ['an array', []],
    ['a function', () => ({})],
  ])('options that are %s: the text starts with what is wrong', (_, raw) => {
    const [problem = '', ...more] = problems(raw);
    expect(problem).toMatch(/^\S.* must be an object, not /);
    expect(more).toEqual([]);
  });

  // `false` is an option of `retry`; here it must be refused or mean "no retry", never reach the dispatcher
  it('unmatched = false gives a policy or a problem', () => {
    let delays: unknown;
    try {
      delays = resolve({ consume: { unmatched: false } }).consume.unmatched.delaysMs;
    } catch (error) {
      delays = error instanceof ConfigurationError ? [] : error;
    }
    expect(delays).toEqual([]);
  });
});

describe('resolveOptions: problems', () => {
  const WRONG = {
    service: 'a b',
    transport: { url: CANARY },
    exchange: { type: 'topics' },
    publish: { window: 0, timout: 5, buffer: { onFull: 'wiat' } },
    consume: { concurrency: 1.5, groups: { 'a.*': { prefetch: -1 } } },
    autoStart: 1,
  };

  it('are all in one error', () => {
    const error = caught(() => resolve(WRONG));
    expect(error).toBeInstanceOf(ConfigurationError);
    expect(error).toMatchObject({ code: 'CONFIGURATION', retryable: false, name: 'ConfigurationError' });
    const found = problems(WRONG);
    expect(found.map((each) => each.split(' ')[0])).toEqual([
      'service',
      'transport',
      'exchange.type',
      'publish.window',
      'publish.timout',
      'publish.buffer.onFull',
      'consume.concurrency',
      'consume.groups["a.*"].prefetch',
      'autoStart',
    ]);
    expect(error.message.startsWith('9 problems:\n')).toBe(true);
    for (const each of found) expect(error.message).toContain(`\n  - ${each}`);
  });

  it('is the whole text when there is only one', () => {
    expect(caught(() => resolve({ autoStart: 1 })).message).toBe('autoStart must be true or false, not a number.');
  });
});

describe('resolveOptions: secrets', () => {
  const PATHS = [
    'service',
    'namespace',
    'transport',
    'exchange',
    'exchange.name',
    'exchange.type',
    'serializer',
    'startup',
    'startup.mode',
    'startup.timeoutMs',
    'publish',
    'publish.timeoutMs',
    'publish.window',
    'publish.unroutable',
    'publish.unroutableStore',
    'publish.unroutableStore.messages',
    'publish.unroutableStore.bytes',
    'publish.maxMessageBytes',
    'publish.maxDepth',
    'publish.buffer',
    'publish.buffer.messages',
    'publish.buffer.bytes',
    'publish.buffer.onFull',
    'consume',
    'consume.enabled',
    'consume.concurrency',
    'consume.maxConcurrency',
    'consume.asyncContext',
    'consume.prefetch',
    'consume.timeoutMs',
    'consume.retry',
    'consume.retry.delaysMs',
    'consume.retry.retryable',
    'consume.unmatched',
    'consume.groups',
    'consume.groups.orders',
    'consume.groups.orders.enabled',
    'consume.groups.orders.retry',
    'shutdown',
    'shutdown.deadlineMs',
    'rendezvous',
    'rendezvous.leaseMs',
    'autoStart',
    'logger',
    'globalEnhancers',
    'transports',
    'url',
    'publish.url',
  ];
  const VALUES: readonly (readonly [string, unknown])[] = [
    ['a text', CANARY],
    ['an object', { url: CANARY, password: CANARY }],
    ['a list', [CANARY, { url: CANARY }]],
    ['a deep object', { connection: { url: CANARY } }],
    ['a function', () => CANARY],
    ['a symbol', Symbol(CANARY)],
  ];

  // a URL is a good transport: that alone is not refused
  it.each(
    PATHS.flatMap((path) => VALUES.map(([kind, value]) => [path, kind, value] as const)).filter(
      ([path, kind]) => path !== 'transport' || kind !== 'a text',
    ),
  )('%s, %s: refused, and not repeated', (path, _, value) => {
    const error = caught(() => resolve(at(path, value)));
    expect(error).toBeInstanceOf(ConfigurationError);
    expect(inspect(error, { depth: 9, showHidden: true })).not.toContain('c4n4ry');
    expect(JSON.stringify(error)).not.toContain('c4n4ry');
  });

  it.each<[string, unknown]>([
    ['a URL without a type', { transport: { url: CANARY } }],
    ['a list of URLs', { transport: [CANARY] }],
    ['a list of URLs inside', { transport: { urls: [CANARY] } }],
    ['the URL as publish', { publish: CANARY }],
    ['the URL as exchange', { exchange: CANARY }],
    ['the URL as service', { service: CANARY }],
    ['the URL as serializer', { serializer: CANARY }],
    ['the URL as the options', CANARY],
    ['the URL as an option nobody knows', { password: CANARY, connection: { url: CANARY } }],
  ])('%s: refused, and not repeated', (_, raw) => {
    const error = caught(() => resolve(raw));
    expect(error).toBeInstanceOf(ConfigurationError);
    expect(inspect(error, { depth: 9, showHidden: true })).not.toContain('c4n4ry');
  });
});

describe('qualify', () => {
  it('puts the namespace in front, if there is one', () => {
    expect(qualify({ namespace: undefined }, 'events')).toBe('events');
    expect(qualify({ namespace: 'pr-17' }, 'events')).toBe('pr-17.events');
  });
});

describe('resolvePolicy', () => {
  const GROUP = 'billing.Invoices.onOrder';
  const policy = (consume: EventBusOptions['consume'], own: Omit<ConsumeGroupOptions, 'enabled'> = {}, group = GROUP) =>
    resolvePolicy(resolveOptions({ consume: consume ?? {} }), group, own);

  describe.each<[keyof ConsumeGroupOptions, unknown, unknown, unknown, unknown]>([
    ['concurrency', 1, 2, 3, 10],
    ['prefetch', 1, 2, 3, 20],
    ['timeoutMs', 1, 2, 3, 60_000],
    [
      'retry',
      { delaysMs: [1] },
      { delaysMs: [2] },
      { delaysMs: [3] },
      { delaysMs: [1_000, 5_000, 25_000, 125_000, 600_000] },
    ],
  ])('%s', (key, operations, decorator, bus, builtIn) => {
    it.each<[string, boolean, boolean, boolean, unknown]>([
      ['operations over decorator over bus', true, true, true, operations],
      ['operations over decorator', true, true, false, operations],
      ['operations over bus', true, false, true, operations],
      ['operations alone', true, false, false, operations],
      ['decorator over bus', false, true, true, decorator],
      ['decorator alone', false, true, false, decorator],
      ['bus alone', false, false, true, bus],
      ['built-in default', false, false, false, builtIn],
    ])('%s', (_, ops, own, all, expected) => {
      const result = policy(
        { ...(all && { [key]: bus }), ...(ops && { groups: { 'billing.*': { [key]: operations } } }) },
        own ? { [key]: decorator } : {},
      );
      expect(result[key]).toEqual(expected);
    });
  });

  it('merges option by option', () => {
    expect(
      policy(
        { timeoutMs: 5, concurrency: 50, prefetch: 60, groups: { [GROUP]: { prefetch: 7 } } },
        { concurrency: 3, prefetch: 4 },
      ),
    ).toMatchObject({ concurrency: 3, prefetch: 7, timeoutMs: 5 });
  });

  it('does not take an undefined option for an answer', () => {
    expect(
      policy(
        { concurrency: 9, groups: { '*': { concurrency: undefined } } } as EventBusOptions['consume'],
        {
          concurrency: undefined,
        } as ConsumeGroupOptions,
      ).concurrency,
    ).toBe(9);
  });

  it('sees only the groups that fit', () => {
    const consume = { groups: { 'billing.*': { concurrency: 1 }, 'shipping.*': { concurrency: 2 } } };
    expect(policy(consume).concurrency).toBe(1);
    expect(policy(consume, {}, 'shipping.Parcels.onOrder').concurrency).toBe(2);
    expect(policy(consume, {}, 'stock.Items.onOrder').concurrency).toBe(10);
    expect(policy(consume, {}, 'my.billing.group').concurrency).toBe(10);
  });

  it('lets the later of two that fit win, option by option', () => {
    const groups = { '*': { concurrency: 1, timeoutMs: 5 }, 'billing.*': { concurrency: 2 } };
    expect(policy({ groups })).toMatchObject({ concurrency: 2, timeoutMs: 5 });
  });

  describe('prefetch', () => {
    it.each([
      [1, 2],
      [7, 14],
      [32_767, 65_534],
      [32_768, 65_535],
      [1_000_000, 65_535],
    ])('is twice the concurrency by default: %d gives %d', (concurrency, prefetch) => {
      expect(policy({ concurrency }).prefetch).toBe(prefetch);
      expect(policy({}, { concurrency }).prefetch).toBe(prefetch);
      expect(policy({ groups: { '*': { concurrency } } }).prefetch).toBe(prefetch);
    });
  });

  describe('retry', () => {
    it.each<[string, EventBusOptions['consume'], Omit<ConsumeGroupOptions, 'enabled'>]>([
      ['the bus', { retry: false }, {}],
      ['the decorator', { retry: { delaysMs: [1] } }, { retry: false }],
      ['operations', { groups: { '*': { retry: false } } }, { retry: { delaysMs: [1] } }],
    ])('false from %s: one attempt', (_, consume, own) => {
      expect(policy(consume, own).retry).toEqual({ delaysMs: [] });
    });

    it('false from the bus does not forbid a policy of the decorator', () => {
      const retry = { delaysMs: [5], retryable: () => true };
      expect(policy({ retry: false }, { retry }).retry).toBe(retry);
    });
  });

  describe('enabled', () => {
    it.each<[string, EventBusOptions['consume'], boolean]>([
      ['by default', {}, true],
      ['all', { enabled: true }, true],
      ['none', { enabled: false }, false],
      ['an empty list', { enabled: [] }, false],
      ['a list with it', { enabled: ['shipping.*', 'billing.*'] }, true],
      ['a list without it', { enabled: ['shipping.*'] }, false],
      ['its very name', { enabled: [GROUP] }, true],
      ['a part of its name', { enabled: ['billing'] }, false],
      ['a group that is off', { groups: { 'billing.*': { enabled: false } } }, false],
      ['a group that is on, else none', { enabled: false, groups: { 'billing.*': { enabled: true } } }, true],
      ['a group that is on, not in the list', { enabled: ['a'], groups: { 'billing.*': { enabled: true } } }, true],
      ['a group that is off, in the list', { enabled: ['billing.*'], groups: { '*': { enabled: false } } }, false],
      ['another group that is off', { groups: { 'shipping.*': { enabled: false } } }, true],
      ['the later of two', { groups: { '*': { enabled: false }, 'billing.*': { enabled: true } } }, true],
    ])('%s: %s', (_, consume, expected) => {
      expect(policy(consume).enabled).toBe(expected);
    });
  });
});

describe('resolvePolicy of batches', () => {
  const policyOf = (own: ConsumeGroupOptions, size: number, options: EventBusOptions = {}) => {
    const { concurrency, prefetch } = resolvePolicy(resolveOptions(options), 'mail', own, { size, waitMs: 10 });
    return { concurrency, prefetch };
  };

  it('has one at a time, unless somebody says otherwise', () => {
    expect(policyOf({}, 50).concurrency).toBe(1);
    expect(policyOf({ concurrency: 3 }, 50).concurrency).toBe(3);
    expect(policyOf({}, 50, { consume: { concurrency: 4 } }).concurrency).toBe(4);
    expect(policyOf({ concurrency: 3 }, 50, { consume: { groups: { '*': { concurrency: 5 } } } }).concurrency).toBe(5);
  });

  it.each<[string, ConsumeGroupOptions, number, number]>([
    ['twice what runs at one time', {}, 50, 100],
    ['twice what runs at one time, of several', { concurrency: 3 }, 50, 300],
    ['what was asked for', { prefetch: 70 }, 50, 70],
    ['no less than a batch', { prefetch: 49 }, 50, 50],
    ['no less than the batches that run at one time', { prefetch: 99, concurrency: 2 }, 50, 100],
    ['no more than a broker can count', {}, 40_000, 65_535],
    ['no more than a broker can count, when raised', { prefetch: 5, concurrency: 7 }, 10_000, 65_535],
  ])('has sent ahead %s', (_, own, size, prefetch) => {
    expect(policyOf(own, size).prefetch).toBe(prefetch);
  });
});
