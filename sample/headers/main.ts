import 'reflect-metadata';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { EventBusModule, EventBusService } from '../../lib/index.js';
import { Departments } from './departments.js';

/** Documents are routed by what their headers say, not by a topic: an exchange of its own beside the one for events. */
@Module({
  imports: [
    EventBusModule.forRoot({
      service: 'archive',
      exchange: 'archive',
      exchanges: { 'archive.documents': 'headers' },
      transport: process.env.EVENT_BUS_URL ?? 'memory:',
    }),
  ],
  providers: [Departments],
})
class ArchiveModule {}

const app = await NestFactory.createApplicationContext(ArchiveModule, { logger: ['error', 'fatal'] });
const bus = app.get(EventBusService);
const departments = app.get(Departments);

const documents = [
  { title: 'annual report', headers: { format: 'pdf', department: 'finance', pages: 120 } },
  { title: 'blueprint', headers: { format: 'pdf', department: 'engineering', pages: 2 } },
  { title: 'fire drill', headers: { format: 'txt', department: 'engineering', urgent: true } },
  { title: 'lunch menu', headers: { format: 'txt', department: 'kitchen' } },
];
for (const { title, headers } of documents) {
  const { routed } = await bus.publish('documents.filed', { title }, { exchange: 'archive.documents', headers });
  console.log(`→ ${title} ${JSON.stringify(headers)}${routed ? '' : ' — nobody asked for that'}`);
}

await departments.quiet();
for (const [name, titles] of departments.inboxes) console.log(`${name.padEnd(22)} ${titles.join(', ')}`);

const expected = 'blueprint | annual report, fire drill | annual report, blueprint, fire drill';
const seen = [...departments.inboxes.values()].map((titles) => titles.toSorted().join(', ')).join(' | ');
if (seen !== expected) {
  console.error(`Expected ${expected}; got ${seen}.`);
  process.exitCode = 1;
}
await app.close();
console.log('sample finished');
