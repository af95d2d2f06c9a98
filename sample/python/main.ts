import 'reflect-metadata';
import { setTimeout as sleep } from 'node:timers/promises';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { DeadLetterService, EventBusModule, EventBusService } from '../../lib/index.js';
import { Shipping } from './shipping.js';
import { Warehouse } from './warehouse.js';

const url = process.env.EVENT_BUS_URL ?? 'amqp://guest:guest@127.0.0.1:5672';
const GROUP = 'bookshop.shipping';

/** A shop in Nest and a warehouse in Python, which have nothing in common but an exchange at RabbitMQ. */
@Module({
  imports: [
    EventBusModule.forRoot({
      service: 'bookshop',
      exchange: 'bookshop',
      transport: url,
      startup: { timeoutMs: 10_000 },
      publish: { unroutable: 'reject' },
    }),
  ],
  providers: [Shipping],
})
class BookshopModule {}

/** Asks until it is so. */
async function until(isDone: () => boolean | Promise<boolean>): Promise<boolean> {
  const end = Date.now() + 10_000;
  while (!(await isDone())) {
    if (Date.now() > end) return false;
    await sleep(50);
  }
  return true;
}

const app = await NestFactory.createApplicationContext(BookshopModule, { logger: ['fatal'] });
const bus = app.get(EventBusService);
const deadLetters = app.get(DeadLetterService);
const { shipped } = app.get(Shipping);
await deadLetters.purge(GROUP); // of an earlier run

const warehouse = Warehouse.start(url);
if (warehouse) {
  try {
    await warehouse.ready;
    const items = ['novel', 'atlas', 'globe'];
    for (const [index, item] of items.entries()) {
      const order = { id: index + 1, item, quantity: 2, last: index === items.length - 1 };
      const { id } = await bus.publish('orders.placed', order);
      console.log(`  nest   orders.placed ${id}: ${JSON.stringify(order)}`);
    }
    await warehouse.ended;
    const isDone = await until(async () => shipped.length === 2 && (await deadLetters.count(GROUP)) === 1);
    console.log(`Shipped: ${shipped.join(', ')}. What Python had not written as JSON is kept:`);
    for (const { topic, reason, error, body } of await deadLetters.list(GROUP)) {
      console.log(`  dead letter: ${topic}, ${reason}: ${error.message} ${Buffer.from(body).toString()}`);
    }
    await deadLetters.purge(GROUP);
    if (!isDone) throw new Error('Two shipped orders and one dead letter were expected.');
    console.log('sample finished');
  } catch (error) {
    console.error('The sample failed:', error);
    process.exitCode = 1;
  } finally {
    warehouse.stop();
  }
} else {
  console.error(`No Python with pika was found. Install it, and run the sample again:
  apt-get install python3-pika      (Debian, Ubuntu)
  pip install pika                  (PYTHON=<path> chooses the Python)`);
  process.exitCode = 1;
}
await app.close();
