// Runs where @nestjs/microservices is installed beside the packed library: `node microservices.mjs esm|cjs`.
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';

const [format] = process.argv.slice(2);
const require = createRequire(import.meta.url);
const load = async (name) => (format === 'cjs' ? require(name) : await import(name));

await load('reflect-metadata');
const { Controller, Module } = await load('@nestjs/common');
const { NestFactory } = await load('@nestjs/core');
const { ClientProxy, MessagePattern } = await load('@nestjs/microservices');
const { MemoryTransport } = await load('nestjs-event-bus');
const { EventBusClient, EventBusServer } = await load('nestjs-event-bus/microservices');

class Sums {
  sum(numbers) {
    return numbers.reduce((a, b) => a + b, 0);
  }
}
class AppModule {}
Controller()(Sums);
MessagePattern({ cmd: 'sum' })(Sums.prototype, 'sum', Object.getOwnPropertyDescriptor(Sums.prototype, 'sum'));
Module({ controllers: [Sums] })(AppModule);

const transport = new MemoryTransport();
const strategy = new EventBusServer({ transport });
const app = await NestFactory.createMicroservice(AppModule, {
  strategy,
  logger: ['error', 'warn'],
  abortOnError: false,
});
await app.listen();
const client = new EventBusClient({ transport });
assert.ok(client instanceof ClientProxy);
const answer = await new Promise((resolve, reject) => {
  client.send({ cmd: 'sum' }, [1, 2, 3]).subscribe({ next: resolve, error: reject });
});
assert.equal(answer, 6);
await client.close();
await app.close();
await transport.close();
console.log(`  passed: ${format}: a server of nestjs-event-bus/microservices answers its client`);
