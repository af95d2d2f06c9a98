import 'reflect-metadata';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { DeadLetterService, EventBusModule } from '../../../lib/index.js';
import { openLedger, type ProgramSettings, readSettings } from './settings.js';

/** What it tells of a dead letter. */
export interface Letter {
  readonly id: string;
  readonly reason: string;
  readonly attempts: number;
}

export interface Replayed {
  readonly count: number;
  /** When it began and ended (Date.now). */
  readonly beganAt: number;
  readonly endedAt: number;
}

// Looks after the dead letters of a group, and consumes nothing. Answers with a message of the kind that it was sent.
const settings = readSettings<ProgramSettings>();
openLedger(settings.ledger);
const LIST = 1_000;

@Module({
  imports: [EventBusModule.forRoot({ service: 'operator', transport: settings.url, exchange: settings.exchange })],
})
class AppModule {}

const app = await NestFactory.createApplicationContext(AppModule, { logger: ['error', 'warn'] });
app.enableShutdownHooks([], { useProcessExit: true });
const deadLetters = app.get(DeadLetterService);

async function replay(): Promise<Replayed> {
  const beganAt = Date.now();
  const count = await deadLetters.replay(settings.group, {});
  return { count, beganAt, endedAt: Date.now() };
}

async function list(): Promise<{ readonly letters: readonly Letter[] }> {
  const letters = await deadLetters.list(settings.group, { limit: LIST });
  return { letters: letters.map(({ id, reason, attempts }) => ({ id, reason, attempts })) };
}

const WORK: Readonly<Record<string, () => Promise<object>>> = {
  replay,
  list,
  count: async () => ({ count: await deadLetters.count(settings.group) }),
};

process.on('message', ({ kind }: { readonly kind: string }) => {
  void WORK[kind]?.().then((answer) => process.send?.({ kind, ...answer }));
});
process.send?.({ kind: 'ready' });
