import 'reflect-metadata';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { EventBusModule } from '../../../lib/index.js';

// Boots against a broker that cannot be used, tells the error, and leaves ending to Node.
const options = { service: 'unreachable', transport: process.env.TARGET ?? '', startup: { timeoutMs: 500 } };

@Module({ imports: [EventBusModule.forRoot(options)] })
class AppModule {}

try {
  await NestFactory.createApplicationContext(AppModule, { logger: false, abortOnError: false });
} catch (error) {
  const { name, code, retryable } = error as Error & { code?: string; retryable?: boolean };
  process.stdout.write(JSON.stringify({ name, code, retryable }));
}
