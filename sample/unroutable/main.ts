import 'reflect-metadata';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { EventBusModule, EventBusService, UnroutableError } from '../../lib/index.js';
import { LostAndFound } from './lost-and-found.js';

let told = 0;

/** Nobody here asks for `parcels.*`: five ways to deal with that. */
@Module({
  imports: [
    EventBusModule.forRoot({
      service: 'post',
      exchange: 'post',
      transport: process.env.EVENT_BUS_URL ?? 'memory:',
      publish: {
        unroutable: 'store',
        onUnroutable: ({ topic, replyCode, replyText }) => {
          told++;
          console.log(`  the hook: ${topic} came back, ${replyCode} ${replyText}`);
        },
      },
    }),
  ],
  providers: [LostAndFound],
})
class PostModule {}

const app = await NestFactory.createApplicationContext(PostModule, { logger: ['error', 'fatal', 'warn'] });
const bus = app.get(EventBusService);
const lostAndFound = app.get(LostAndFound);

console.log("1. 'warn': resolves, and is logged once for each topic");
console.log(await bus.publish('parcels.one', { to: 'Ada' }, { unroutable: 'warn' }));

console.log("2. 'reject': the publisher has to deal with it");
let rejected = false;
try {
  await bus.publish('parcels.two', { to: 'Bob' }, { unroutable: 'reject' });
} catch (error) {
  rejected = error instanceof UnroutableError;
  console.log(`  ${String(error)}`);
}

console.log("3. 'ignore': resolves, says nothing");
await bus.publish('parcels.three', { to: 'Cyd' }, { unroutable: 'ignore' });

console.log("4. 'store', the default of this bus: kept in memory until somebody asks");
await bus.publish('parcels.four', { to: 'Dan' });
const stored = bus.popUnroutables();
for (const { id, topic, exchange } of stored) console.log(`  ${topic} ${id} was not routed by ${exchange}`);

console.log("5. 'alternate-exchange': kept by the broker, for a group that takes what nobody wants");
const { routed } = await bus.publish('parcels.five', { to: 'Eve' }, { unroutable: 'alternate-exchange' });
const found = await lostAndFound.next;
console.log(`  routed: ${routed}; found later: ${found}`);

if (!rejected || stored.length !== 1 || told !== 4 || found !== 'parcels.five for Eve') {
  console.error('Something came out otherwise than told.');
  process.exitCode = 1;
}
await app.close();
console.log('sample finished');
