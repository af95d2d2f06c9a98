// The steps of the README's chapter on moving, with the packages installed beside this file. Run by run.mjs.
import 'reflect-metadata';
import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { setTimeout as pause } from 'node:timers/promises';
import { AmqpConnection, RabbitMQModule } from '@golevelup/nestjs-rabbitmq';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { connect } from 'amqplib';
import { DeadLetterService, EventBusModule, EventBusService, OnEvent } from 'nestjs-event-bus';

const URL = 'amqp://guest:guest@127.0.0.1:5672';
const WAIT_MS = 15_000;
const SHARE = 50;

const name = `moving-${randomUUID().slice(0, 8)}`;
const names = {
  exchange: `${name}.exchange`,
  queue: `${name}.orders`,
  legacyDead: `${name}.orders.dead`,
  group: `${name}.shop.orders`,
};
/** As the old library declares it, said in both languages. */
const queueOptions = { durable: true, deadLetterExchange: '', deadLetterRoutingKey: names.legacyDead };
const queueArguments = { 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': names.legacyDead };
const retry = { delaysMs: [20] };

/** Numbers that were published, by whom they were handled, and how often. */
const ledger = { published: 0, old: new Map(), bus: new Map() };
const note = (who) => (order) => {
  ledger[who].set(order.n, (ledger[who].get(order.n) ?? 0) + 1);
};
const isHandled = (n) => ledger.old.has(n) || ledger.bus.has(n);
const lost = () => Array.from({ length: ledger.published }, (_, n) => n).filter((n) => !isHandled(n));

async function until(what, holds) {
  for (const end = Date.now() + WAIT_MS; !(await holds()); await pause(20)) {
    if (Date.now() > end) throw new Error(`not reached within ${WAIT_MS} ms: ${what}`);
  }
}

const running = new Set();
async function boot(module) {
  const app = await NestFactory.createApplicationContext(module, { logger: ['fatal'], abortOnError: false });
  running.add(app);
  return app;
}
async function stop(app) {
  running.delete(app);
  await app.close();
}

/** A class with one decorated method; plain JavaScript has no decorators. */
function listener(decorators, handle) {
  class Orders {
    on(order, context) {
      return handle(order, context);
    }
  }
  const method = Object.getOwnPropertyDescriptor(Orders.prototype, 'on');
  for (const decorate of decorators) decorate(Orders.prototype, 'on', method);
  return Orders;
}

function appWith(imports, providers) {
  class AppModule {}
  Module({ imports, providers })(AppModule);
  return AppModule;
}

const golevelup = () =>
  RabbitMQModule.forRoot({
    uri: URL,
    exchanges: [{ name: names.exchange, type: 'topic' }],
    enableControllerDiscovery: true,
  });

const busModule = () =>
  EventBusModule.forRoot({
    service: `${name}.shop`,
    transport: URL,
    exchange: names.exchange,
    consume: { retry },
    shutdown: { deadlineMs: 5_000 },
  });

const adopted = {
  group: names.group,
  rabbitmq: { queue: names.queue, queueType: 'classic', arguments: queueArguments },
};

/** Every tenth order fails at the bus the first time. */
const handleOnBus = (order, { attempt }) => {
  if (order.n % 10 === 0 && attempt === 1) throw new Error('fails at first');
  if (order.isHopeless) throw new Error('fails always');
  note('bus')(order);
};

/** Publishes all the time, through whatever is given to it. */
function startPublishing(publish) {
  let isStopped = false;
  const run = async () => {
    while (!isStopped) {
      const n = ledger.published++;
      await publish({ n });
      await pause(1);
    }
  };
  const ended = run();
  ended.catch(() => undefined); // whoever stops it is told
  return async () => {
    isStopped = true;
    await ended;
  };
}

const byBus = (app) => async (order) => {
  const { routed } = await app.get(EventBusService).publish('orders.placed', order);
  assert.equal(routed, true);
};

async function step(title, work) {
  const before = Date.now();
  await work();
  console.log(`  passed: ${title} (${ledger.published} published, ${Date.now() - before} ms)`);
}

const broker = await connect(URL);
const channel = await broker.createChannel();
await channel.assertQueue(names.legacyDead, { durable: true });

/** The service as it was. */
const v1 = fork('old-service.mjs', [JSON.stringify({ uri: URL, ...names, queueOptions })]);
let isSilent = false;
v1.on('message', ({ handled, published, silent }) => {
  if (handled !== undefined) note('old')({ n: handled });
  if (published !== undefined) ledger.published = published;
  if (silent) isSilent = true;
});

let v2;
let v3;
let publishing;
try {
  await step('before: @golevelup/nestjs-rabbitmq alone', async () => {
    await until('the old library handles', () => ledger.old.size >= SHARE);
  });

  await step('1: the bus adopts the queue, both libraries consume it', async () => {
    v2 = await boot(appWith([golevelup(), busModule()], [listener([OnEvent('orders.*', adopted)], handleOnBus)]));
    const before = ledger.old.size;
    await until('both handle', () => ledger.old.size >= before + SHARE && ledger.bus.size >= SHARE);
  });

  await step('2: published through the bus, to the same exchange: either library handles it', async () => {
    v1.send('publish no more');
    await until('the old service is silent', () => isSilent);
    const before = { old: ledger.old.size, bus: ledger.bus.size };
    publishing = startPublishing(byBus(v2));
    await until('both handle', () => ledger.old.size >= before.old + SHARE && ledger.bus.size >= before.bus + SHARE);
  });

  await step('3: the old consumer is stopped, the bus handles everything', async () => {
    v1.send('stop');
    assert.deepEqual(await once(v1, 'exit'), [0, null]);
    const before = ledger.bus.size;
    await until('the bus handles', () => ledger.bus.size >= before + SHARE);
  });

  await step('what fails for ever is dead under the name of the group, and nowhere else', async () => {
    const letters = v2.get(DeadLetterService);
    await v2.get(AmqpConnection).publish(names.exchange, 'orders.placed', { n: -1, isHopeless: true });
    await until('it is dead', async () => (await letters.count(names.group)) === 1);
    const [letter] = await letters.list(names.group);
    assert.equal(letter.reason, 'attempts-exhausted');
    assert.deepEqual(letter.payload, { n: -1, isHopeless: true });
    assert.equal((await channel.checkQueue(names.legacyDead)).messageCount, 0);
  });

  await step('4: a queue of its own; the old one is unbound and drained', async () => {
    await publishing();
    await stop(v2);
    const own = { group: names.group, renamedFrom: names.queue };
    v3 = await boot(appWith([busModule()], [listener([OnEvent('orders.*', own)], handleOnBus)]));
    publishing = startPublishing(byBus(v3));
    const before = ledger.bus.size;
    await until('the bus handles', () => ledger.bus.size >= before + SHARE);
    await publishing();
    publishing = undefined;
    await until('all are handled', () => lost().length === 0);
    await until('the old queue is empty', async () => (await channel.checkQueue(names.queue)).messageCount === 0);
    await v3.get(EventBusService).publish('orders.placed', { n: ledger.published++ });
    await until('all are handled', () => lost().length === 0);
    assert.equal((await channel.checkQueue(names.queue)).messageCount, 0);
    await stop(v3);
  });

  assert.deepEqual(lost(), []);
  const { published, old, bus } = ledger;
  console.log(
    `moving: passed (${published} published, ${old.size} handled by the old library, ${bus.size} by the bus, 0 lost)`,
  );
} catch (error) {
  console.error(error);
  process.exitCode = 1;
} finally {
  v1.kill('SIGKILL');
  await publishing?.().catch((error) => console.error(error.message));
  for (const app of [...running]) await stop(app);
  for (const end of ['', '.dlq', '.retry.20', `.retry.20.to.${names.queue}`])
    await channel.deleteQueue(`${names.group}${end}`);
  for (const queue of [names.queue, names.legacyDead, `${names.exchange}.groups.${name}.shop`])
    await channel.deleteQueue(queue);
  for (const end of ['', '.broadcast']) await channel.deleteExchange(`${names.exchange}${end}`);
  await broker.close();
}
