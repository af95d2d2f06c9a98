import { describe, expect, it } from '@jest/globals';
import { LEGACY_ALIASES } from '../../../lib/config/legacy-aliases.js';
import { LeveledLogger, type LogLevel } from '../../../lib/config/leveled-logger.js';
import { ConfigFolder } from '../support/config-folder.js';
import { RecordingLogger } from '../support/recording.logger.js';

/** As EventBusClient ships it, with the commas that it lacks. */
const TEMPLATE = `{
  // Python's own words
  "host": "broker.example",
  "port": \${PORT:-5673},
  "exchange_handler": "HeadersExchangeHandler",
  "exchange_name": "lab",
  "serializer": "JsonSerializer",
  "qos_prefetch": 20,
  "auto_reconnect": True,
  "plugins_path": "./plugins",
  "general_cache_policy": "off",
  "general_routing_keys": "general",
  "general_message_cls": "BasicMessage",
  "logger_name": "lab",
  "logfile": None,
  "loglevel": "WARNING",
  "logger_mode": "a"
}`;

describe('a file of EventBusClient', () => {
  it('is loaded, and what has no counterpart is told', async () => {
    using folder = new ConfigFolder({ 'config.jsonp': TEMPLATE });
    const options = await folder.load({}, 'config.jsonp');
    expect(options).toEqual({
      transport: 'amqp://broker.example:5673',
      exchange: { name: 'lab', type: 'headers' },
      serializer: 'json',
      consume: { prefetch: 20 },
      logger: expect.any(LeveledLogger),
    });
    const warnings = folder.logger.lines.map((line) => line.replace(folder.path, ''));
    expect(warnings).toEqual([
      'warn: /config.jsonp:12: general_routing_keys has no effect. general_cache_policy is off.',
      'warn: /config.jsonp:17: logger_mode has no effect. No log file is written; remove it.',
      'warn: /config.jsonp:10: plugins_path has no effect. No folder is searched; name a module where it is used: "serializer": "./plugins/zip.js#ZipSerializer".',
      'warn: /config.jsonp:13: general_message_cls has no effect. Entries are what was decoded, of no class; remove it.',
    ]);
  });

  it.each([
    [
      '{ "exchange_handler": "TopicExchangeHandler" }',
      { transport: 'amqp://localhost:5672', exchange: { type: 'topic' } },
    ],
    [
      '{ "serializer": "JsonSerializer", "service": "a" }',
      { transport: 'amqp://localhost:5672', serializer: 'json', service: 'a' },
    ],
    ['{ "host": "::1" }', { transport: 'amqp://[::1]:5672' }],
    ['{ "host": null, "port": 5673 }', { transport: 'amqp://localhost:5673' }],
    [
      '{ "qos_prefetch": 5, "transport": "memory:", "consume": { "concurrency": 2 } }',
      { transport: 'memory:', consume: { concurrency: 2, prefetch: 5 } },
    ],
    ['{ "exchange_name": "a", "transport": "memory:" }', { transport: 'memory:', exchange: { name: 'a' } }],
  ])('may have some of its keys only: %s', async (text, expected) => {
    using folder = new ConfigFolder({ 'event-bus.jsonc': text });
    expect(await folder.load()).toEqual(expected);
  });

  it.each([
    ['{ "general_cache_policy": "on_connect" }', { policy: 'on-connect', patterns: 'general' }],
    [
      '{ "general_cache_policy": "on_demand", "general_routing_keys": "orders.#" }',
      { policy: 'on-demand', patterns: 'orders.#' },
    ],
    ['{ "general_cache_policy": "off" }', undefined],
    ['{ "general_cache_policy": null, "general_routing_keys": null, "port": 5672 }', undefined],
  ])('has a general cache: %s', async (text, cache) => {
    using folder = new ConfigFolder({ 'event-bus.jsonc': text });
    expect(await folder.load()).toEqual({ transport: 'amqp://localhost:5672', ...(cache && { cache }) });
    expect(folder.logger.lines).toEqual([]);
  });

  it.each([
    ['{ "general_cache_policy": "on-connect" }', 'event-bus.jsonc:1: general_cache_policy must be one of'],
    [
      '{ "general_cache_policy": "on_connect", "general_routing_keys": 5 }',
      'event-bus.jsonc:1: general_routing_keys must be a string',
    ],
    [
      '{ "general_cache_policy": "on_connect", "cache": { "patterns": "a" } }',
      'event-bus.jsonc:1: general_cache_policy and cache say the same; keep cache.',
    ],
  ])('is refused when its general cache is wrong: %s', async (text, problem) => {
    using folder = new ConfigFolder({ 'event-bus.jsonc': text });
    expect(await folder.problems()).toEqual([expect.stringContaining(problem)]);
  });

  it('has no key that is not in the table', () => {
    expect(new Set(LEGACY_ALIASES.map(({ key }) => key)).size).toBe(20);
  });
});

describe('a leveled logger', () => {
  it.each<[LogLevel, readonly string[]]>([
    ['debug', ['log: b', 'warn: c', 'error: d']],
    ['log', ['log: b', 'warn: c', 'error: d']],
    ['warn', ['warn: c', 'error: d']],
    ['error', ['error: d']],
    ['none', []],
  ])('%s', (level, lines) => {
    const logger = new RecordingLogger();
    const leveled = new LeveledLogger(logger, level);
    leveled.debug('a');
    leveled.log('b');
    leveled.warn('c');
    leveled.error('d');
    expect(logger.lines).toEqual(lines);
  });
});
