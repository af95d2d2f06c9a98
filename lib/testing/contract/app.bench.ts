import assert from 'node:assert/strict';
import type { INestApplicationContext, Provider, Type } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { type DeadLetter, DeadLetterService } from '../../bus/dead-letter.service.js';
import type { GroupStats } from '../../bus/event-bus.stats.js';
import type { Exchange } from '../../core/exchange.js';
import type { BusLogger } from '../../core/logger.js';
import { fixed } from '../../core/retry-policy.js';
import type { Transport } from '../../core/transport.js';
import type { EventBusModuleOptions } from '../../event-bus.lifecycle.js';
import { EventBusModule } from '../../event-bus.module.js';
import { EventBusService } from '../../event-bus.service.js';
import { Bench } from './bench.js';
import type { ContractHarness } from './contract.js';
import { until } from './until.js';

/** The module into which the classes of a case go. */
class ContractModule {}

/** What an application of a case consists of besides the bus. */
export interface AppParts {
  readonly providers?: readonly Provider[];
  readonly controllers?: readonly Type[];
  readonly options?: EventBusModuleOptions;
}

/** A running application. */
export interface TestApp {
  readonly app: INestApplicationContext;
  readonly bus: EventBusService;
  readonly deadLetters: DeadLetterService;
  readonly transport: Transport;
  readonly service: string;
  readonly exchange: Exchange;
  /** What the bus has written: one text per line, with its level in front. */
  readonly lines: readonly string[];
  /** Name of the group of a decorated method. */
  readonly groupOf: (type: Type, method: string) => string;
  /** The dead letters of a group, when there are `count`. */
  readonly buried: (group: string, count?: number) => Promise<readonly DeadLetter[]>;
  readonly statsOf: (group: string) => GroupStats;
}

/** The bench of cases that run on a Nest application. */
export class AppBench extends Bench {
  private readonly apps: INestApplicationContext[] = [];

  constructor(harness: ContractHarness) {
    super(harness);
    this.newExchange('events.broadcast');
    this.willRemove(`${this.exchange.name}.control`);
  }

  /** Boots an application with one bus on a transport of its own; every application of a case is the same service. */
  async start({ providers = [], controllers = [], options = {} }: AppParts = {}): Promise<TestApp> {
    const transport = await this.create();
    const lines: string[] = [];
    const { service = this.name } = options;
    this.services.add(service);
    const app = await NestFactory.createApplicationContext(
      {
        module: ContractModule,
        imports: [EventBusModule.forRoot(this.optionsFor(transport, lines, { ...options, service }))],
        providers: [...providers],
        controllers: [...controllers],
      },
      { logger: false, abortOnError: false },
    );
    this.apps.push(app);
    const bus = app.get(EventBusService);
    const deadLetters = app.get(DeadLetterService);
    this.remember(bus, options.namespace);
    return {
      app,
      bus,
      deadLetters,
      transport,
      service,
      exchange: this.exchange,
      lines,
      groupOf: ({ name }, method) => `${service}.${name}.${method}`,
      buried: async (group, count = 1) => {
        await until(`${count} dead letters of ${group}`, async () => (await deadLetters.count(group)) >= count);
        const letters = await deadLetters.list(group);
        assert.equal(letters.length, count, `dead letters of ${group}`);
        return letters;
      },
      statsOf: (group) => {
        const stats = bus.stats().groups[group];
        assert.ok(stats, `there are no counters of ${group}`);
        return stats;
      },
    };
  }

  /** Fails the boot: the error by which it failed. */
  async startFails(parts: AppParts): Promise<unknown> {
    try {
      await this.start(parts);
    } catch (error) {
      return error;
    }
    throw new Error('The application booted.');
  }

  override async dispose(): Promise<void> {
    await Promise.all(this.apps.map((app) => app.close()));
    await super.dispose();
  }

  private optionsFor(transport: Transport, lines: string[], options: EventBusModuleOptions): EventBusModuleOptions {
    return {
      exchange: { name: this.exchange.name, type: 'topic' },
      shutdown: { deadlineMs: 2_000 },
      logger: recorder(lines),
      ...options,
      transport,
      consume: {
        retry: fixed({ attempts: 3, delayMs: 20 }),
        unmatched: fixed({ attempts: 2, delayMs: 20 }),
        ...options.consume,
      },
    };
  }

  private remember(bus: EventBusService, namespace: string | undefined): void {
    const { groups } = bus.describe() as { readonly groups: readonly { readonly name: string }[] };
    const prefix = namespace === undefined ? '' : `${namespace}.`;
    for (const { name } of groups) this.groups.add(`${prefix}${name}`);
    this.groups.add(`${prefix}${this.name}.broadcast`);
  }
}

function recorder(lines: string[]): BusLogger {
  return {
    log: (message) => void lines.push(`log ${message}`),
    warn: (message) => void lines.push(`warn ${message}`),
    error: (message) => void lines.push(`error ${message}`),
  };
}
