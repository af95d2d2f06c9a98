// A service that knows only @golevelup/nestjs-rabbitmq: it publishes orders, consumes them, and tells its parent of both.
// In a process of its own, because that library keeps its connections for the whole process.
import 'reflect-metadata';
import { setTimeout as pause } from 'node:timers/promises';
import { AmqpConnection, RabbitMQModule, RabbitSubscribe } from '@golevelup/nestjs-rabbitmq';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';

const { uri, exchange, queue, queueOptions } = JSON.parse(process.argv[2] ?? '{}');
let isPublishing = true;

class Orders {
  on(order) {
    process.send({ handled: order.n });
  }
}
RabbitSubscribe({ exchange, routingKey: 'orders.*', queue, queueOptions })(
  Orders.prototype,
  'on',
  Object.getOwnPropertyDescriptor(Orders.prototype, 'on'),
);

class AppModule {}
Module({
  imports: [RabbitMQModule.forRoot({ uri, exchanges: [{ name: exchange, type: 'topic' }] })],
  providers: [Orders],
})(AppModule);

async function publish(connection) {
  for (let n = 0; isPublishing; n++) {
    await connection.publish(exchange, 'orders.placed', { n });
    process.send({ published: n + 1 });
    await pause(1);
  }
  process.send({ silent: true });
}

const app = await NestFactory.createApplicationContext(AppModule, { logger: ['error', 'warn'], abortOnError: false });
process.on('message', async (message) => {
  isPublishing = false;
  if (message !== 'stop') return;
  await app.close();
  process.disconnect();
});
await publish(app.get(AmqpConnection));
