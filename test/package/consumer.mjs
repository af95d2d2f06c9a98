// Runs inside a project that has the packed library installed: `node consumer.mjs esm|cjs`.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

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

await check('what needs an optional package says how to install it', async () => {
  await assert.rejects(bus.MsgpackSerializer.load(), { code: 'CONFIGURATION', message: /npm install msgpackr$/ });
  const schema = { source: 'syntax = "proto3"; message A {}' };
  await assert.rejects(bus.ProtobufSerializer.load(schema), {
    code: 'CONFIGURATION',
    message: /npm install protobufjs$/,
  });
  const payload = new Map([['a', 1n]]);
  const structured = new bus.StructuredSerializer();
  assert.deepEqual(structured.decode(structured.encode(payload)), payload);
});

await check('import and require give the same classes', async () => {
  const other = format === 'cjs' ? await import('nestjs-event-bus') : require('nestjs-event-bus');
  assert.equal(other.EventBusService, bus.EventBusService);
});

await check('reads a configuration file, which names a module', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'event-bus-consumer-'));
  try {
    writeFileSync(join(folder, 'event-bus.jsonc'), `{ "service": "\${SERVICE:-orders}", "inbox": "./inbox.mjs", }`);
    writeFileSync(join(folder, 'inbox.mjs'), 'export default { claim() {}, done() {}, forget() {} };');
    const { service, inbox } = await bus.loadEventBusConfig(folder, { env: {} });
    assert.equal(service, 'orders');
    assert.equal(typeof inbox.claim, 'function');
    writeFileSync(join(folder, 'event-bus.jsonc'), '{ "service" }');
    await assert.rejects(bus.loadEventBusConfig(folder), /event-bus\.jsonc:1:13: expected a colon\.$/);
  } finally {
    rmSync(folder, { recursive: true });
  }
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
