import 'reflect-metadata';
import { setTimeout as sleep } from 'node:timers/promises';
import { Injectable, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { EventBusModule, type EventContext, handshakeBarrier, OnCommand, OnEvent } from '../../lib/index.js';
import { benchOptions, RunTest, type Verdict } from './bench.js';

// One worker, in a process of its own: crew.ts starts it.
const { NAMESPACE = '', NAME = '', ROLES = '', START_DELAY_MS = '' } = process.env;

// The controller is gone, whatever happened to it: nobody else would end this process.
process.once('disconnect', () => process.kill(process.pid, 'SIGTERM'));

class TestFailed extends Error {
  override readonly name = 'TestFailed';
  readonly code = 'TEST_FAILED';
  readonly details = { expected: 3, received: 2 };
}

@Injectable()
class Runner {
  @OnCommand(RunTest, { concurrency: 1, prefetch: 1 })
  async run({ test }: RunTest): Promise<Verdict> {
    await sleep(100);
    if (test === 'checkout') throw new TestFailed('the basket is wrong');
    return { test, by: NAME };
  }

  @OnEvent('bench.reset', { delivery: 'broadcast' })
  onReset(_: unknown, context: EventContext): void {
    console.log('empties its caches');
    context.emit('bench.clean', { by: NAME });
  }
}

/** Says in which roles it is ready, and consumes nothing before the controller is. */
const policy = handshakeBarrier({ controller: 1 }, { announce: ROLES.split(','), timeoutMs: 30_000 });

@Module({
  imports: [EventBusModule.forRoot({ ...benchOptions(NAMESPACE, 'worker'), startup: { policy } })],
  providers: [Runner],
})
class WorkerModule {}

await sleep(Number(START_DELAY_MS)); // machines are never equally fast
console.log(`is up as process ${process.pid}, and waits for the controller`);
const app = await NestFactory.createApplicationContext(WorkerModule, { logger: ['error', 'fatal'] });
app.enableShutdownHooks(); // on SIGTERM: running tests end, and everybody is told that it leaves
console.log('begins to work');
