import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { checkArchitecture } from './architecture.rules.js';

type Files = Readonly<Record<string, string>>;

/** Every file that the fixtures below import. */
const NEIGHBOURS: Files = {
  'lib/core/errors.ts': 'export class Problem {}\nexport const LIMIT = 1;\n',
  'lib/exchanges/topic.exchange.ts': 'export const TOPIC = 1;\n',
  'lib/serializers/json.serializer.ts': 'export const JSON_TYPE = 1;\n',
  'lib/transports/transport.registry.ts': 'export const BUILT_IN = 1;\n',
  'lib/transports/memory/memory.transport.ts': 'export class MemoryTransport {}\n',
  'lib/transports/rabbitmq/rabbitmq.transport.ts': "import 'amqplib';\nexport class RabbitmqTransport {}\n",
  'lib/bus/publisher.ts': 'export class Publisher {}\nexport const LEVELS = 1;\n',
  'lib/decorators/on-event.decorator.ts': 'export const ON_EVENT = 1;\n',
  'lib/testing/index.ts': 'export const TESTING = 1;\n',
  'lib/event-bus.module.ts': 'export const MODULE = 1;\n',
};

function check(files: Files): string[] {
  return checkArchitecture(new Map(Object.entries({ ...NEIGHBOURS, ...files })));
}

describe('architecture of lib', () => {
  it('keeps its layers and its style', () => {
    const root = join(import.meta.dirname, '..');
    const paths = readdirSync(join(root, 'lib'), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) =>
        join(entry.parentPath, entry.name)
          .slice(root.length + 1)
          .replaceAll('\\', '/'),
      );
    const sources = new Map(paths.sort().map((path) => [path, readFileSync(join(root, path), 'utf8')]));

    expect(sources.size).toBeGreaterThan(20);
    expect(checkArchitecture(sources)).toEqual([]);
  });
});

describe('architecture rules', () => {
  it('accept the neighbours', () => {
    expect(check({})).toEqual([]);
  });

  it.each<[string, string]>([
    ['lib/core/a.ts', "import { Buffer } from 'node:buffer';\nimport { LIMIT } from './errors.js';"],
    ['lib/exchanges/a.ts', "import { LIMIT } from '../core/errors.js';"],
    ['lib/serializers/a.ts', "import { LIMIT } from '../core/errors.js';"],
    ['lib/transports/memory/a.ts', "import { LIMIT } from '../../core/errors.js';\nimport './memory.transport.js';"],
    [
      'lib/transports/rabbitmq/a.ts',
      "const load = () => import('amqp-connection-manager');\nimport 'amqplib/lib/defs.js';",
    ],
    ['lib/transports/transport.registry.ts', "export const load = () => import('./memory/memory.transport.js');"],
    ['lib/bus/a.ts', "import '../core/errors.js';\nimport '../exchanges/topic.exchange.js';"],
    ['lib/bus/a.ts', "import { Observable } from 'rxjs';\nimport 'reflect-metadata';"],
    ['lib/bus/a.ts', "import '../serializers/json.serializer.js';"],
    ['lib/decorators/a.ts', "import { SetMetadata } from '@nestjs/common';\nimport 'reflect-metadata';"],
    ['lib/decorators/a.ts', "import { LEVELS, type Publisher } from '../bus/publisher.js';"],
    [
      'lib/decorators/a.ts',
      "import type { Publisher } from '../bus/publisher.js';\nimport { Problem } from '../core/errors.js';",
    ],
    [
      'lib/a.ts',
      "import '@nestjs/core';\nimport 'rxjs';\nimport 'reflect-metadata';\nimport '@nestjs/core/injector/x.js';",
    ],
    ['lib/a.ts', "import './transports/memory/memory.transport.js';\nimport './transports/transport.registry.js';"],
    ['lib/testing/a.ts', "import '../event-bus.module.js';\nimport '../transports/memory/memory.transport.js';"],
    ['lib/core/a.ts', "/** The word any!; `enum` and this.#x in a comment */\nexport const text = 'any! enum';"],
    ['lib/core/a.ts', 'export function f(x: { y?: string }) {\n  let z = !x.y;\n  return (z = !z) !== false;\n}'],
    ['lib/core/a.ts', 'export type F = (...args: any[]) => void;'],
    ['lib/core/a.ts', 'export const f = (x: string) => /^a+$/.test(x) && x.match(/b/) !== null;'],
    ['lib/testing/a.ts', 'export const f = (x: string) => new RegExp(x);'],
    ['lib/core/a.ts', 'export class A {\n  search(x: string) {\n    return this.search(x);\n  }\n}'],
    ['lib/core/exponential-2.retry-policy.ts', ''],
  ])('accept %s: %j', (path, text) => {
    expect(check({ [path]: text })).toEqual([]);
  });

  it.each<[string, string, string]>([
    ['lib/core/a.ts', "\nimport '../bus/publisher.js';", 'a.ts:2: core must not import from bus'],
    ['lib/core/a.ts', "import type { P } from '../bus/publisher.js';", 'a.ts:1: core must not import from bus'],
    ['lib/core/a.ts', "export * from '../exchanges/topic.exchange.js';", 'core must not import from exchanges'],
    ['lib/core/a.ts', "type P = import('../bus/publisher.js').Publisher;", 'core must not import from bus'],
    ['lib/core/a.ts', "const load = () => import('../bus/publisher.js');", 'core must not import from bus'],
    ['lib/core/a.ts', "const p = require('../bus/publisher.js');", 'core must not import from bus'],
    ['lib/core/a.ts', "import p = require('../bus/publisher.js');", 'core must not import from bus'],
    ['lib/core/a.ts', "import 'reflect-metadata';", "core must not import the package 'reflect-metadata'"],
    ['lib/core/a.ts', "import 'events';", "core must not import the package 'events'"],
    ['lib/core/a.ts', "import type { Observable } from 'rxjs';", "core must not import the package 'rxjs'"],
    ['lib/core/a.ts', "import '@nestjs/common';", "core must not import the package '@nestjs/common'"],
    ['lib/core/a.ts', "import './nowhere.js';", "'./nowhere.js' is no file under lib"],
    ['lib/core/a.ts', "import './errors';", "'./errors' is no file under lib"],
    ['lib/core/a.ts', "import '../../test/helper.js';", 'is no file under lib'],
    [
      'lib/core/a.ts',
      "const name = 'x';\nexport const load = () => import(name);",
      'a.ts:2: an import with a computed name',
    ],
    ['lib/exchanges/a.ts', "import '../serializers/json.serializer.js';", 'exchanges must not import from serializers'],
    ['lib/serializers/a.ts', "import '../exchanges/topic.exchange.js';", 'serializers must not import from exchanges'],
    ['lib/transports/memory/a.ts', "import '../../bus/publisher.js';", 'transports/memory must not import from bus'],
    ['lib/transports/memory/a.ts', "import '../../exchanges/topic.exchange.js';", 'must not import from exchanges'],
    ['lib/transports/memory/a.ts', "import '../rabbitmq/rabbitmq.transport.js';", 'from transports/rabbitmq'],
    [
      'lib/transports/memory/a.ts',
      "import '../transport.registry.js';",
      'transports/memory must not import from transports ',
    ],
    ['lib/transports/memory/a.ts', "import 'amqplib';", "transports/memory must not import the package 'amqplib'"],
    ['lib/transports/transport.registry.ts', "import '../bus/publisher.js';", 'transports must not import from bus'],
    ['lib/transports/transport.registry.ts', "import 'amqplib';", "transports must not import the package 'amqplib'"],
    ['lib/transports/helper.ts', '', 'helper.ts:1: has no layer'],
    [
      'lib/bus/a.ts',
      "import '../transports/memory/memory.transport.js';",
      'bus must not import from transports/memory',
    ],
    ['lib/bus/a.ts', "import '../decorators/on-event.decorator.js';", 'bus must not import from decorators'],
    ['lib/bus/a.ts', "import '../event-bus.module.js';", 'bus must not import from nest'],
    ['lib/bus/a.ts', "import '@nestjs/common';", "bus must not import the package '@nestjs/common'"],
    ['lib/bus/a.ts', "import 'amqp-connection-manager';", "bus must not import the package 'amqp-connection-manager'"],
    [
      'lib/decorators/a.ts',
      "import { Publisher } from '../bus/publisher.js';",
      'only types and UPPER_CASE constants from bus',
    ],
    [
      'lib/decorators/a.ts',
      "import * as bus from '../bus/publisher.js';",
      'only types and UPPER_CASE constants from bus',
    ],
    ['lib/decorators/a.ts', "export * from '../bus/publisher.js';", 'only types and UPPER_CASE constants from bus'],
    ['lib/decorators/a.ts', "import '../bus/publisher.js';", 'only types and UPPER_CASE constants from bus'],
    ['lib/decorators/a.ts', "import '../exchanges/topic.exchange.js';", 'decorators must not import from exchanges'],
    ['lib/decorators/a.ts', "import '@nestjs/core';", "decorators must not import the package '@nestjs/core'"],
    ['lib/a.ts', "import './testing/index.js';", 'nest must not import from testing'],
    [
      'lib/a.ts',
      "import { Payload } from '@nestjs/microservices';",
      "nest must not import the package '@nestjs/microservices'",
    ],
    ['lib/testing/a.ts', "import '@nestjs/microservices';", 'testing must not import the package'],
    ['lib/testing/a.ts', "import 'reflect-metadata';", 'testing must not import the package'],
    ['lib/a.ts', "import 'amqplib';", "nest must not import the package 'amqplib'"],
    ['lib/plugins/a.ts', '', 'lib/plugins/a.ts:1: has no layer'],
    ['lib/core/a.ts', '\nexport const enum E {}', 'a.ts:2: enum'],
    ['lib/core/a.ts', 'class A {\n  #x = 1;\n}', 'a.ts:2: #x'],
    ['lib/core/a.ts', 'const x = y\n  .find()!\n  .z;', 'a.ts:1: non-null assertion'],
    ['lib/core/a.ts', 'f(x!);', 'a.ts:1: non-null assertion'],
    ['lib/core/a.ts', 'const x: any = 1;', 'a.ts:1: any'],
    ['lib/core/a.ts', 'f(x as any);', 'a.ts:1: any'],
    ['lib/core/a.ts', 'f<any>(x);', 'a.ts:1: any'],
    ['lib/core/a.ts', 'function f(x: any[], ...y: Set<unknown>[]) {}', 'a.ts:1: any'],
    ['lib/core/a.ts', 'const x = 1;\nlet y = x;', 'a.ts:2: module-level let'],
    ['lib/core/a.ts', 'export let y = 1;', 'a.ts:1: module-level let'],
    ['lib/core/a.ts', 'var y = 1;', 'a.ts:1: module-level let'],
    ['lib/core/RetryPolicy.ts', '', 'RetryPolicy.ts:1: is not named in kebab-case'],
    ['lib/core/a.ts', 'export const f = (x: string) => new RegExp(x);', 'a.ts:1: a RegExp made of text'],
    ['lib/bus/a.ts', 'export const f = (x: string) => RegExp(x, "g");', 'a.ts:1: a RegExp made of text'],
    ['lib/bus/a.ts', 'export const f = (x: string) => new globalThis.RegExp(x);', 'a.ts:1: a RegExp made of text'],
    ['lib/a.ts', 'export const f = (x: string) => x.match(x);', 'a.ts:1: a RegExp made of text'],
    ['lib/a.ts', 'export const f = (x: string) => x.search("^" + x);', 'a.ts:1: a RegExp made of text'],
    ['lib/core/retry_policy.ts', '', 'retry_policy.ts:1: is not named in kebab-case'],
    ['lib/core/readme.md', '', 'readme.md:1: is not named in kebab-case'],
    ['lib/transports/rabbitMq/a.ts', '', 'a.ts:1: is not named in kebab-case'],
  ])('refuse %s: %j', (path, text, message) => {
    expect(check({ [path]: text })).toEqual([expect.stringContaining(message)]);
  });

  it('refuse a file of more than 300 lines', () => {
    expect(check({ 'lib/core/a.ts': '\n'.repeat(300) })).toEqual([]);
    expect(check({ 'lib/core/a.ts': '\n'.repeat(301) })).toEqual(['lib/core/a.ts:301: has 301 lines, 300 are allowed']);
  });

  it('refuse an import cycle, of any length and through a dynamic import', () => {
    const files = {
      'lib/core/a.ts': "import './b.js';",
      'lib/core/b.ts': "import './c.js';",
      'lib/core/c.ts': "\nexport const load = () => import('./a.js');",
    };
    const cycle = 'lib/core/a.ts -> lib/core/b.ts -> lib/core/c.ts -> lib/core/a.ts';
    expect(check(files)).toEqual([`lib/core/c.ts:2: import cycle: ${cycle}`]);
    expect(check({ 'lib/core/a.ts': "import './a.js';" })).toHaveLength(1);
  });

  it('accept a cycle of types, and refuse `import { type A }`, which stays as an import', () => {
    const b = "import './a.js';";
    expect(check({ 'lib/core/a.ts': "import type { B } from './b.js';", 'lib/core/b.ts': b })).toEqual([]);
    expect(check({ 'lib/core/a.ts': "export type { B } from './b.js';", 'lib/core/b.ts': b })).toEqual([]);
    expect(check({ 'lib/core/a.ts': "import { type B } from './b.js';", 'lib/core/b.ts': b })).toHaveLength(1);
  });
});
