import 'reflect-metadata';
import { ValidationPipe } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { type Connection, EVENT_BUS_CONNECTION } from '../lib/index.js';
import { AppModule } from './app.module.js';
import { runDemo } from './demo.js';
import { PORT } from './shop.config.js';
import { say } from './story.js';

// Errors only, so that the story can be read. Without this option you see which queue each handler has, and each retry.
const app = await NestFactory.create(AppModule, { logger: ['error', 'fatal'] });
app.useGlobalPipes(new ValidationPipe({ whitelist: true }));
app.enableShutdownHooks(); // Ctrl-C: running handlers end, what is buffered is sent, then the process ends
await app.listen(PORT, '127.0.0.1');

const url = await app.getUrl();
const { endpoint } = app.get<Connection>(EVENT_BUS_CONNECTION);
say(`The shop is ready at ${url} (event bus: ${endpoint}). Try, when the demo has finished:
  curl -X POST ${url}/orders -H 'content-type: application/json' -d '{"sku":"mouse","quantity":1,"email":"eve@bounce.example"}'
  curl ${url}/orders/<id>
  curl ${url}/dead-letters
  curl -X POST ${url}/mailer/repair
  curl -X POST ${url}/dead-letters/replay
  curl -X POST ${url}/prices/mouse/1900`);

try {
  await runDemo(url);
} catch (error) {
  console.error('The demo failed:', error);
  process.exitCode = 1;
}
if (process.env.SAMPLE_EXIT === '1') await app.close();
