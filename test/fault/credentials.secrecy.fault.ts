import 'reflect-metadata';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { Injectable, UsePipes, ValidationPipe } from '@nestjs/common';
import { ModuleRef, ModulesContainer } from '@nestjs/core';
import type { TestingModule } from '@nestjs/testing';
import { connect } from 'amqplib';
import { IsIn } from 'class-validator';
import {
  type Connection,
  type DeadLetter,
  DeadLetterService,
  defineEvent,
  EVENT_BUS_CONNECTION,
  EVENT_BUS_EXCHANGE_HANDLER,
  EVENT_BUS_OPTIONS,
  EVENT_BUS_SERIALIZER,
  EVENT_BUS_TRANSPORT,
  type EventBusModuleOptions,
  EventBusService,
  type EventContext,
  OnEvent,
  type RabbitMqTransportOptions,
  type StandardSchema,
  type Subscription,
} from '../../lib/index.js';
import { bounded, until } from '../../lib/testing/contract/until.js';
import { Lab } from '../support/lab.js';
import { nestedHeader, publishRaw } from '../support/nested-headers.js';
import { CANARIES, type CanaryKind, leaksOf } from './harness/canaries.js';
import { CertificateAuthority } from './harness/certificates.js';
import { Door } from './harness/door.js';
import { describeWithServer } from './harness/own-broker.js';
import { RabbitMqNode } from './harness/rabbitmq-node.js';
import { TlsFront } from './harness/tls-front.js';

const SECRET = { card: CANARIES.payload };
const WITH_HEADER = { headers: { token: CANARIES.header } };
const MOMENTS = ['connected', 'in work', 'cut off', 'blocked', 'closed'] as const;

/** What a service of a container gives out, and somebody may print. */
const OBJECTS: Readonly<Record<string, (app: TestingModule) => unknown>> = {
  'the bus': (app) => app.get(EventBusService),
  'describe()': (app) => app.get(EventBusService).describe(),
  'stats()': (app) => app.get(EventBusService).stats(),
  'the options': (app) => app.get(EVENT_BUS_OPTIONS),
  'the connection': (app) => app.get(EVENT_BUS_CONNECTION),
  'the transport': (app) => app.get(EVENT_BUS_TRANSPORT),
  'the exchange handler': (app) => app.get(EVENT_BUS_EXCHANGE_HANDLER),
  'the serializer': (app) => app.get(EVENT_BUS_SERIALIZER),
  'the dead letters': (app) => app.get(DeadLetterService),
  'a subscription': () => subscription,
};

interface Told {
  readonly what: string;
  readonly error: unknown;
}

const lines: unknown[] = [];
const told: Told[] = [];
const leaks = new Map<string, readonly CanaryKind[]>();
let subscription: Subscription;
let rawLeaks: readonly CanaryKind[] = [];
const providerLeaks: Record<string, readonly CanaryKind[]> = {};
let runs = 0;

let node: RabbitMqNode;
let door: Door;
let front: TlsFront;
let authority: CertificateAuthority;
let lab: Lab;

/** What is written beside the dead letters of each group; the letters themselves have the payload, as they should. */
const remarks = new Map<string, readonly Pick<DeadLetter, 'reason' | 'error'>[]>();

const write = (...line: unknown[]): void => void lines.push(line);
const logger = { log: write, warn: write, error: write, debug: write, verbose: write, fatal: write };

const schema: StandardSchema<object> = {
  '~standard': { version: 1, vendor: 'test', validate: () => ({ issues: [{ message: 'is wrong', path: ['card'] }] }) },
};

/** As some vendors write it. */
const quotingSchema: StandardSchema<typeof SECRET> = {
  '~standard': {
    version: 1,
    vendor: 'test',
    validate: (value) => ({
      issues: [
        { message: `Invalid enum value, received '${(value as typeof SECRET).card}'`, path: ['card'] },
        { message: `Invalid input: ${JSON.stringify(value)}` },
      ],
    }),
  },
};
const Quoted = defineEvent<typeof SECRET>('pay.quoted', { schema: quotingSchema });

class Payment {
  @IsIn(['none'], { message: 'card $value is unknown' })
  card!: string;
}

@Injectable()
class PaymentListener {
  @OnEvent('pay.work', { retry: { delaysMs: [50] } })
  async work(_payload: unknown, { signal }: EventContext): Promise<void> {
    runs++;
    await new Promise((resolve) => signal.addEventListener('abort', resolve));
  }

  @OnEvent('pay.fail', { retry: { delaysMs: [50] } })
  fail(): never {
    throw new Error('boom');
  }

  @OnEvent('pay.slow', { retry: false, timeoutMs: 100 })
  async slow(_payload: unknown, { signal }: EventContext): Promise<void> {
    await new Promise((resolve) => signal.addEventListener('abort', resolve));
  }

  @OnEvent('pay.checked', { retry: false, schema })
  checked(): void {}

  @OnEvent('pay.quoted', { retry: false, schema: quotingSchema })
  quoted(): void {}

  @OnEvent('pay.piped', { retry: false })
  @UsePipes(new ValidationPipe({ forbidUnknownValues: true }))
  piped(_payment: Payment): void {}

  @OnEvent('pay.plain', { retry: false })
  plain(): void {}
}

async function tell(what: string, work: Promise<unknown>): Promise<void> {
  const error = await bounded(work, 30_000, what).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  told.push({ what, error });
}

function look(moment: (typeof MOMENTS)[number], app: TestingModule): void {
  for (const [name, get] of Object.entries(OBJECTS)) leaks.set(`${name}, ${moment}`, leaksOf(get(app)));
}

/** Everything that the module of the bus puts into the container, whether meant for users or not. */
function lookAtProviders(app: TestingModule): void {
  for (const { metatype, providers } of app.get(ModulesContainer).values()) {
    if (!metatype.name.startsWith('EventBus')) continue;
    for (const { name, token, instance } of providers.values()) {
      if (instance === metatype || token === ModuleRef) continue;
      providerLeaks[String(name)] = leaksOf(instance);
    }
  }
}

async function transport(over: { readonly url?: string } = {}): Promise<RabbitMqTransportOptions & object> {
  const client = await authority.issue({ name: 'client', purpose: 'client', passphrase: CANARIES.passphrase });
  const tls = { ca: authority.ca, cert: client.cert, key: client.key, passphrase: CANARIES.passphrase };
  return { type: 'rabbitmq', url: front.url(), heartbeatMs: 60_000, tls, ...over };
}

const withUser = (change: (url: URL) => void): string => {
  const url = new URL(front.url());
  change(url);
  return url.href;
};

/** Everything that goes wrong with publishes and handlers while the broker is well. */
async function misuse(app: TestingModule, bus: EventBusService, deadLetters: DeadLetterService): Promise<void> {
  const cyclic: Record<string, unknown> = { ...SECRET };
  cyclic.self = cyclic;
  const publish = (topic: string, payload: unknown, options: object = {}) =>
    bus.publish(topic, payload, { ...WITH_HEADER, ...options });
  await tell('an unroutable event', publish('nobody.asks', SECRET, { unroutable: 'reject' }));
  await publish('nobody.asks', SECRET);
  await tell('a large payload', publish('pay.plain', { ...SECRET, bytes: 'x'.repeat(2_000_000) }));
  await tell('a cyclic payload', publish('pay.plain', cyclic));
  await tell('a bigint in the payload', publish('pay.plain', { ...SECRET, n: 1n }));
  const reserved = { 'x-token': CANARIES.header };
  await tell('a reserved header', bus.publish('pay.plain', SECRET, { headers: reserved }));
  const nested = { token: { of: CANARIES.header } };
  await tell('a nested header', bus.publish('pay.plain', SECRET, { headers: nested as never }));
  await tell('a large header', bus.publish('pay.plain', SECRET, { headers: { t: CANARIES.header.repeat(10_000) } }));
  await tell('an unknown option', publish('pay.plain', SECRET, { secret: CANARIES.payload }));
  await tell('an aborted publish', publish('pay.plain', SECRET, { signal: AbortSignal.abort() }));

  await tell('a payload that its schema quotes', bus.publish(Quoted, SECRET, WITH_HEADER));
  await tell('a payload that names a prototype', publish('pay.plain', JSON.parse(`{"__proto__":"${SECRET.card}"}`)));

  for (const topic of ['pay.fail', 'pay.slow', 'pay.checked', 'pay.quoted', 'pay.piped']) await publish(topic, SECRET);
  const client = await connect(node.url());
  client.on('error', () => undefined);
  const channel = await client.createChannel();
  const headers = { token: CANARIES.header };
  for (const body of [
    `${CANARIES.payload} is no JSON`,
    `{"card":"${CANARIES.payload}`,
    `["${CANARIES.payload}",]`,
    `{"__proto__":{"card":"${CANARIES.payload}"}}`,
  ]) {
    channel.publish(lab.exchange, 'pay.plain', Buffer.from(body), { headers });
  }
  const secret = Buffer.from(JSON.stringify(SECRET));
  for (const options of [
    { headers, contentType: CANARIES.payload },
    { headers, contentEncoding: CANARIES.payload },
    { headers: { ...headers, more: CANARIES.header.repeat(2_000) } },
    { headers: { ...headers, 'eb-due': Number.MAX_SAFE_INTEGER } },
  ]) {
    channel.publish(lab.exchange, 'pay.plain', secret, options);
  }
  await publishRaw(node.url(), lab.exchange, 'pay.plain', nestedHeader(), { headers, body: JSON.stringify(SECRET) });
  await channel.assertQueue('taken.group', { durable: true });
  await client.close();
  await tell(
    'a queue that differs',
    bus.subscribe('pay.*', () => undefined, { group: 'taken.group' }),
  );
  const group = (method: string): string => `${lab.service}.PaymentListener.${method}`;
  for (const [method, count] of [
    ['fail', 1],
    ['slow', 1],
    ['checked', 1],
    ['quoted', 1],
    ['piped', 1],
    ['plain', 9],
  ] as const) {
    await until(`${method} is dead`, async () => (await deadLetters.count(group(method))) === count);
    const letters = await deadLetters.list(group(method));
    remarks.set(
      method,
      letters.map(({ reason, error }) => ({ reason, ...(error && { error }) })),
    );
  }
  await deadLetters.replay(group('fail'));
  await until('it has failed again', async () => (await deadLetters.count(group('fail'))) === 1);
  await tell('a replay to nobody', deadLetters.replay('no.such.group', {}));
  rawLeaks = leaksOf(app.get<Connection>(EVENT_BUS_CONNECTION).raw());
}

async function play(): Promise<void> {
  const options: EventBusModuleOptions = {
    transport: { ...(await transport()) },
    logger,
    shutdown: { deadlineMs: 500 },
    startup: { timeoutMs: 5_000 },
  };
  const { app, bus, deadLetters } = await lab.boot({ options, providers: [PaymentListener] });
  subscription = await bus.subscribe('pay.*', () => undefined);
  await bus.publish('pay.plain', SECRET, WITH_HEADER);
  look('connected', app);
  lookAtProviders(app);
  await misuse(app, bus, deadLetters);

  await bus.publish('pay.work', SECRET, WITH_HEADER);
  await until('a handler runs', () => runs > 0);
  look('in work', app);

  await node.ctl('set_vm_memory_high_watermark', '0.00001');
  const blocked = Array.from({ length: 3 }, () =>
    tell('a publish to a blocked broker', bus.publish('pay.plain', SECRET, { ...WITH_HEADER, timeoutMs: 4_000 })),
  );
  await until('it is blocked', () => bus.status === 'degraded');
  const waiting = tell('a publish while blocked', bus.publish('pay.plain', SECRET, { ...WITH_HEADER, timeoutMs: 500 }));
  look('blocked', app);
  await Promise.all([...blocked, waiting]);
  await node.ctl('set_vm_memory_high_watermark', '0.4');
  await until('it is up', () => bus.status === 'up');

  await door.turn('silent');
  door.freeze();
  const sent = tell('an unanswered publish', bus.publish('pay.plain', SECRET, { ...WITH_HEADER, timeoutMs: 500 }));
  await sent;
  front.drop();
  await until('it is down', () => bus.status === 'down');
  const unsent = tell('an unsent publish', bus.publish('pay.plain', SECRET, { ...WITH_HEADER, timeoutMs: 500 }));
  const open = tell('a publish when it is closed', bus.publish('pay.plain', SECRET, WITH_HEADER));
  look('cut off', app);
  await unsent;
  await tell('dead letters while cut off', deadLetters.list(`${lab.service}.PaymentListener.fail`));
  await app.close();
  await open;
  await tell('a publish after the close', bus.publish('pay.plain', SECRET, WITH_HEADER));
  await tell(
    'a subscription after the close',
    bus.subscribe('pay.*', () => undefined),
  );
  look('closed', app);
}

/** Applications that cannot start. */
async function misconfigure(): Promise<void> {
  await door.turn('forward');
  const boot = (what: string, chosen: unknown): Promise<void> =>
    tell(
      what,
      lab.boot({
        options: { transport: chosen as string, logger, startup: { timeoutMs: 2_500 }, shutdown: { deadlineMs: 500 } },
      }),
    );
  const good = await transport();
  const secret = 'c4nary-user:c4nary-word';
  const wrongWord = withUser((url) => Object.assign(url, { password: `${CANARIES.password}wrong` }));
  await boot('a wrong password', { ...good, url: wrongWord });
  await boot('a missing virtual host', { ...good, url: withUser((url) => Object.assign(url, { pathname: '/none' })) });
  await boot('no CA', { ...good, tls: { ...good.tls, ca: undefined } });
  await boot('a wrong passphrase', { ...good, tls: { ...good.tls, passphrase: `${CANARIES.passphrase}-not` } });
  await boot('an unknown TLS option', { ...good, tls: { ...good.tls, pass: CANARIES.passphrase } });
  await boot('a key of a wrong type', { ...good, tls: { ...good.tls, key: { pem: good.tls?.key } } });
  await boot('an unknown option', { ...good, uri: `amqp://${secret}@127.0.0.1` });
  await boot('both url and urls', { ...good, urls: [good.url] });
  await boot('an unknown type', { ...good, type: 'rabitmq' });
  for (const url of [
    `amqp://${secret}#@127.0.0.1`,
    `amqp://${secret}/x@127.0.0.1`,
    `amqp://${secret}?x@127.0.0.1`,
    `amqp://${secret}@x@127.0.0.1`,
    `amqp://${secret}@127.0.0.1:port`,
    `amqp://${secret}`,
    `ampq://${secret}@127.0.0.1`,
    `mqtt://${secret}@127.0.0.1`,
    `${secret}@127.0.0.1`,
    `amqp:${secret}@127.0.0.1`,
  ]) {
    await boot(`a bad URL as text: ${url.replaceAll(/c4nary-/g, '')}`, url);
    await boot(`a bad URL as option: ${url.replaceAll(/c4nary-/g, '')}`, { type: 'rabbitmq', url });
  }
}

describeWithServer('secrets are not shown', () => {
  beforeAll(async () => {
    lab = new Lab();
    [node, authority] = await Promise.all([RabbitMqNode.start(), CertificateAuthority.create()]);
    await node.ctl('add_user', CANARIES.user, CANARIES.password);
    await node.ctl('set_permissions', CANARIES.user, '.*', '.*', '.*');
    door = await Door.open(node.url());
    const { cert, key } = await authority.issue({ name: 'broker' });
    const needs = { cert, key, ca: authority.ca, requestCert: true, rejectUnauthorized: true };
    front = await new TlsFront(door.url(CANARIES), needs).listen();
    await play();
    await misconfigure();
  }, 180_000);

  afterAll(async () => {
    await lab?.dispose();
    await front?.close();
    await door?.turn('closed');
    await node?.dispose();
    await authority?.dispose();
  });

  it('the run went as planned: everything that should fail did, with an error', () => {
    // of those that the alarm met on the way some may be confirmed in time
    const sure = told.filter(({ what }) => what !== 'a publish to a blocked broker');
    expect(sure.filter(({ error }) => error === undefined)).toMatchObject([{ what: 'a replay to nobody' }]);
    expect(told.length).toBeGreaterThan(45);
    expect(lines.length).toBeGreaterThan(20);
    // else nothing could be found
    expect(leaksOf([CANARIES, Buffer.from(CANARIES.payload), '-----BEGIN PRIVATE KEY-----'])).toHaveLength(6);
  });

  it('in no line of the log', () => {
    expect(lines.filter((line) => leaksOf(line).length > 0)).toEqual([]);
  });

  it('in no error, its stack and its causes', () => {
    const leaking = told.filter(({ error }) => leaksOf(error).length > 0);
    expect(leaking.map(({ what, error }) => [what, leaksOf(error), String(error)])).toEqual([]);
  });

  it.each(MOMENTS.flatMap((moment) => Object.keys(OBJECTS).map((name) => `${name}, ${moment}`)))(
    'not in %s',
    (what) => {
      expect(leaks.has(what)).toBe(true);
      expect(leaks.get(what)).toEqual([]);
    },
  );

  it('in no remark beside a dead letter', () => {
    const reasons = [...remarks].map(([method, all]) => [method, all.map(({ reason }) => reason).toSorted()]);
    expect(Object.fromEntries(reasons)).toEqual({
      fail: ['attempts-exhausted'],
      slow: ['attempts-exhausted'],
      checked: ['validation'],
      quoted: ['validation'],
      piped: ['validation'],
      plain: [...Array<string>(8).fill('undecodable'), 'validation'],
    });
    expect([...remarks.values()].flat().filter((remark) => leaksOf(remark).length > 0)).toEqual([]);
    // the path is told nevertheless
    expect(remarks.get('quoted')?.[0]?.error?.message).toContain('card: is not valid');
    expect(remarks.get('piped')?.[0]?.error?.message).toContain('card is not valid');
  });

  it('not in any other provider of the module', () => {
    expect(Object.keys(providerLeaks).length).toBeGreaterThan(10);
    expect(Object.entries(providerLeaks).filter(([, kinds]) => kinds.length > 0)).toEqual([]);
  });

  it('no password in the connections of the driver', () => {
    expect(rawLeaks.filter((kind) => kind === 'user' || kind === 'password')).toEqual([]);
  });
});
