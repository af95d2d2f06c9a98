import 'reflect-metadata';
import { Injectable, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { EventBusModule, OnCommand } from '../../../lib/index.js';
import { type ProgramSettings, readSettings } from './settings.js';

// Begins to handle each command, says so, and never answers.
const settings = readSettings<ProgramSettings>();
// whoever started it is gone
process.on('disconnect', () => process.exit(1));

@Injectable()
class Work {
  @OnCommand('work')
  async on(payload: unknown): Promise<never> {
    process.send?.({ kind: 'begun', payload });
    return new Promise(() => undefined);
  }
}

@Module({
  imports: [EventBusModule.forRoot({ service: 'answerer', transport: settings.url, exchange: settings.exchange })],
  providers: [Work],
})
class AppModule {}

await NestFactory.createApplicationContext(AppModule, { logger: ['error', 'warn'] });
process.send?.({ kind: 'ready' });
