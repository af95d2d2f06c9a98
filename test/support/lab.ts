import { randomUUID } from 'node:crypto';
import type { INestApplicationContext, ModuleMetadata } from '@nestjs/common';
import { Test, type TestingModule, type TestingModuleBuilder } from '@nestjs/testing';
import {
  type BusLogger,
  DeadLetterService,
  EventBusModule,
  type EventBusModuleOptions,
  EventBusService,
} from '../../lib/index.js';
import { isReachable, RABBITMQ } from './brokers.js';
import { createRabbitMqHarness } from './rabbitmq.harness.js';

/** What an application of a test consists of besides its bus. */
export interface LabParts extends ModuleMetadata {
  readonly options?: EventBusModuleOptions;
  /** The module without a bus of its own, for tests that import it themselves. */
  readonly bare?: boolean;
  readonly override?: (builder: TestingModuleBuilder) => TestingModuleBuilder;
}

export interface LabApp {
  readonly app: TestingModule;
  readonly bus: EventBusService;
  readonly deadLetters: DeadLetterService;
}

/** Unique names, the applications of one test, and the order left behind on the broker. */
export class Lab {
  readonly name = `e2e-${randomUUID().slice(0, 8)}`;
  readonly service = `${this.name}.app`;
  readonly exchange = `${this.name}.events`;
  /** What the buses have written: one text per line, with its level in front. */
  readonly lines: string[] = [];
  readonly logger: BusLogger = {
    log: (message) => void this.lines.push(`log ${String(message)}`),
    warn: (message) => void this.lines.push(`warn ${String(message)}`),
    error: (message) => void this.lines.push(`error ${String(message)}`),
  };
  private readonly apps: INestApplicationContext[] = [];
  private readonly groups = new Set<string>();
  private readonly exchanges = new Set<string>();
  private readonly services = new Set<string>();

  constructor(readonly url: string = 'memory:') {
    this.willRemoveExchange(this.exchange);
    this.willRemoveGroup(`${this.service}.broadcast`);
    this.services.add(this.service);
  }

  willRemoveGroup(group: string): string {
    this.groups.add(group);
    return group;
  }

  willRemoveExchange(exchange: string): string {
    this.exchanges.add(exchange).add(`${exchange}.broadcast`).add(`${exchange}.control`);
    return exchange;
  }

  options(over: EventBusModuleOptions = {}): EventBusModuleOptions {
    return {
      service: this.service,
      exchange: this.exchange,
      transport: this.url,
      logger: this.logger,
      shutdown: { deadlineMs: 3_000 },
      ...over,
    };
  }

  /** Compiles, but does not start. */
  compile({ options, bare, override = (b) => b, imports = [], ...parts }: LabParts = {}): Promise<TestingModule> {
    const bus = bare ? [] : [EventBusModule.forRoot(this.options(options))];
    const builder = Test.createTestingModule({ ...parts, imports: [...bus, ...imports] });
    return override(builder.setLogger(false as never)).compile();
  }

  async boot(parts: LabParts = {}): Promise<LabApp> {
    const app = this.track(await this.compile(parts));
    try {
      await app.init();
    } catch (error) {
      this.apps.pop();
      throw error;
    }
    this.remember(app);
    return { app, bus: app.get(EventBusService, { strict: false }), deadLetters: this.deadLettersOf(app) };
  }

  /** Fails the boot: the error by which it failed. */
  async bootFails(parts: LabParts = {}): Promise<Error & { readonly code?: string }> {
    try {
      await this.boot(parts);
    } catch (error) {
      return error as Error;
    }
    throw new Error('The application booted.');
  }

  track<A extends INestApplicationContext>(app: A): A {
    this.apps.push(app);
    return app;
  }

  /** Its groups are removed at the end. */
  remember(app: INestApplicationContext): void {
    const bus = app.get(EventBusService, { strict: false });
    const { groups, service } = bus.describe() as {
      readonly groups: readonly { readonly name: string }[];
      readonly service?: string;
    };
    for (const { name } of groups) this.groups.add(name);
    if (service !== undefined) this.services.add(service);
  }

  async dispose(): Promise<void> {
    // Nest runs its hooks again when an application is closed again
    await Promise.all(this.apps.filter((app) => !isClosed(app)).map((app) => app.close()));
    // some tests name a broker that they never reach, and need none
    if (!this.url.startsWith('amqp') || !(await isReachable(RABBITMQ))) return;
    const harness = await createRabbitMqHarness(RABBITMQ.url);
    await harness.cleanup?.({
      groups: [...this.groups],
      exchanges: [...this.exchanges],
      services: [...this.services],
    });
  }

  private deadLettersOf(app: INestApplicationContext): DeadLetterService {
    return app.get(DeadLetterService, { strict: false });
  }
}

/** Runs a test with a lab and tidies up after it, whatever happened. */
export function withLab(url: string | undefined, test: (lab: Lab) => Promise<void>): () => Promise<void> {
  return async () => {
    const lab = new Lab(url);
    try {
      await test(lab);
    } finally {
      await lab.dispose();
    }
  };
}

function isClosed(app: INestApplicationContext): boolean {
  try {
    return app.get(EventBusService, { strict: false }).status === 'closed';
  } catch {
    return false; // it has no default bus
  }
}
