// Runs inside a project that has the packed library installed: `node consumer.mjs esm|cjs`.
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';

const [format] = process.argv.slice(2);
const require = createRequire(import.meta.url);
const load = async (name) => (format === 'cjs' ? require(name) : await import(name));

const check = async (title, run) => {
  await run();
  console.log(`  passed: ${format}: ${title}`);
};

await load('reflect-metadata');
const { Injectable, Module } = await load('@nestjs/common');
const { NestFactory } = await load('@nestjs/core');
let bus;

await check('loads nestjs-event-bus, which exports its names', async () => {
  bus = await load('nestjs-event-bus');
  for (const name of ['EventBusModule', 'EventBusService', 'OnEvent']) assert.equal(typeof bus[name], 'function', name);
});

await check('loads nestjs-event-bus/testing, which exports something', async () => {
  assert.notEqual(Object.keys(await load('nestjs-event-bus/testing')).length, 0);
});

await check('import and require give the same classes', async () => {
  const other = format === 'cjs' ? await import('nestjs-event-bus') : require('nestjs-event-bus');
  assert.equal(other.EventBusService, bus.EventBusService);
});

await check('a decorated method receives what is published', async () => {
  let receive;
  let timer;
  const received = new Promise((resolve, reject) => {
    receive = resolve;
    timer = setTimeout(() => reject(new Error('nothing received within 10 s')), 10_000);
  });
  class OrderListener {
    onOrder(payload) {
      receive(payload);
    }
  }
  class AppModule {}
  const method = Object.getOwnPropertyDescriptor(OrderListener.prototype, 'onOrder');
  Injectable()(OrderListener);
  bus.OnEvent('orders.*')(OrderListener.prototype, 'onOrder', method);
  Module({ imports: [bus.EventBusModule.forRoot()], providers: [OrderListener] })(AppModule);

  const app = await NestFactory.createApplicationContext(AppModule, { logger: ['error', 'warn'], abortOnError: false });
  const receipt = await app.get(bus.EventBusService).publish('orders.created', { id: 'o-1' });
  assert.deepEqual(await received, { id: 'o-1' });
  clearTimeout(timer);
  assert.equal(receipt.topic, 'orders.created');
  await app.close();
});
