import 'reflect-metadata';
import { Injectable, Module, type OnModuleDestroy, type Type } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import {
  EventBusModule,
  type EventBusOptions,
  EventBusService,
  type EventContext,
  exponential,
  fixed,
  OnEvent,
} from '../../../lib/index.js';
import type { PublisherEnd } from '../harness/ledger-book.js';
import { PublisherLoad } from './publishing.js';
import { ledgerLogger, openLedger, type PublisherSettings, readSettings } from './settings.js';
import { FailedOnPurpose, type Work } from './working.js';

export interface DeployedSettings extends PublisherSettings {
  readonly version: 1 | 2;
  /** Both versions publish to all of them: `work.do` and `audit.do`, and three that only the second understands. */
  readonly topics: readonly string[];
  /** One of so many events fails at the first attempt in each process. */
  readonly failOneOf: number;
  /** How soon the first version gives back what it does not understand. */
  readonly unmatchedMs: number;
}

// A service of which one version replaces the other: what a team may change between two deploys is different in both.
const settings = readSettings<DeployedSettings>();
const ledger = openLedger(settings.ledger);
const { group, topics, failOneOf, unmatchedMs } = settings;
const failed = new Set<string>();

function handle({ id, n }: Work, { attempt }: EventContext): void {
  ledger.write(`b ${id} ${attempt}`);
  // of each topic some: they come in turns
  if (Math.floor(n / topics.length) % failOneOf === 0 && !failed.has(id)) {
    failed.add(id);
    ledger.write(`x ${id} ${attempt}`);
    throw new FailedOnPurpose(`${id} fails once`);
  }
  ledger.write(`h ${id} ${Date.now()}`);
}

function first(): readonly Type[] {
  @Injectable()
  class WorkListener {
    @OnEvent('work.do', { group, prefetch: 20, concurrency: 10, timeoutMs: 10_000 })
    on(payload: Work, context: EventContext): void {
      handle(payload, context);
    }
  }
  @Injectable()
  class AuditListener {
    @OnEvent('audit.*', { prefetch: 5, retry: fixed({ attempts: 3, delayMs: 200 }) })
    on(payload: Work, context: EventContext): void {
      handle(payload, context);
    }
  }
  return [WorkListener, AuditListener];
}

/** One handler more in the first group, one pattern more for each of the others, and other numbers everywhere. */
function second(): readonly Type[] {
  const policy = {
    prefetch: 50,
    concurrency: 25,
    timeoutMs: 5_000,
    retry: exponential({ attempts: 7, initialMs: 50 }),
  };
  @Injectable()
  class WorkListener {
    @OnEvent(['work.do', 'work.extra'], { group, ...policy })
    on(payload: Work, context: EventContext): void {
      handle(payload, context);
    }

    @OnEvent('work.new', { group, ...policy })
    onNew(payload: Work, context: EventContext): void {
      handle(payload, context);
    }
  }
  @Injectable()
  class AuditListener {
    @OnEvent(['audit.*', 'audited.#'], { prefetch: 40, retry: fixed({ attempts: 4, delayMs: 150 }) })
    on(payload: Work, context: EventContext): void {
      handle(payload, context);
    }
  }
  return [WorkListener, AuditListener];
}

const OPTIONS: Readonly<Record<1 | 2, Pick<EventBusOptions, 'publish' | 'consume' | 'shutdown'>>> = {
  1: {
    publish: { window: 500, timeoutMs: 30_000, unroutable: 'warn' },
    consume: {
      retry: fixed({ attempts: 5, delayMs: 100 }),
      unmatched: fixed({ attempts: 100, delayMs: unmatchedMs }),
      timeoutMs: 20_000,
    },
    shutdown: { deadlineMs: 10_000 },
  },
  2: {
    publish: { window: 1_000, timeoutMs: 20_000, unroutable: 'reject' },
    consume: { unmatched: fixed({ attempts: 80, delayMs: 2 * unmatchedMs }), maxConcurrency: 200 },
    shutdown: { deadlineMs: 8_000 },
  },
};

/** Publishes until the application has drained what it handles. */
@Injectable()
class Load implements OnModuleDestroy {
  private readonly load: PublisherLoad;
  private finished: Promise<PublisherEnd> | undefined;

  constructor(bus: EventBusService) {
    this.load = new PublisherLoad(bus, settings, ledger);
  }

  run(): void {
    this.finished = this.load.run();
  }

  stop(): void {
    this.load.stop();
  }

  async onModuleDestroy(): Promise<void> {
    this.stop();
    await this.finished;
  }
}

@Module({
  imports: [
    EventBusModule.forRoot({
      service: 'deployed',
      transport: settings.url,
      exchange: settings.exchange,
      logger: ledgerLogger(ledger),
      ...OPTIONS[settings.version],
    }),
  ],
  providers: [Load, ...(settings.version === 1 ? first() : second())],
})
class AppModule {}

const app = await NestFactory.createApplicationContext(AppModule, { logger: ['error', 'warn'] });
app.enableShutdownHooks([], { useProcessExit: true });
const load = app.get(Load);
process.on('message', ({ kind }: { readonly kind: string }) => {
  if (kind === 'go') load.run();
  if (kind === 'stop') load.stop();
});
process.send?.({ kind: 'ready' });
