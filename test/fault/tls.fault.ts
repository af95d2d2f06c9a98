import 'reflect-metadata';
import type { TlsOptions } from 'node:tls';
import { inspect } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Injectable } from '@nestjs/common';
import { ConnectionError, OnEvent, type RabbitMqTransportOptions } from '../../lib/index.js';
import { Log } from '../../lib/testing/contract/log.js';
import { bounded, quiet, until } from '../../lib/testing/contract/until.js';
import { isReachable, RABBITMQ } from '../support/brokers.js';
import { Lab } from '../support/lab.js';
import { type Certificate, CertificateAuthority } from './harness/certificates.js';
import { TlsFront } from './harness/tls-front.js';

type Tls = NonNullable<RabbitMqTransportOptions['tls']>;

interface Case {
  readonly name: string;
  readonly server: () => TlsOptions;
  readonly tls: () => Tls;
  /** What the start-up error and the log must say. */
  readonly reason: RegExp;
}

/** For what is tried again until the start-up time is over. */
const STARTUP_MS = 700;
/** For what must stop long before: a link that goes on trying is then seen by the time that it takes. */
const LONG_STARTUP_MS = 20_000;
const REFUSED_MS = 2_000;
const PASSPHRASE = 'c4nary-passphrase';
const onRabbit = (await isReachable(RABBITMQ)) ? describe : describe.skip;

let ours: CertificateAuthority;
let others: CertificateAuthority;
let server: Certificate;
let selfSigned: Certificate;
let elsewhere: Certificate;
let expired: Certificate;
let client: Certificate;
let lockedClient: Certificate;
let foreignClient: Certificate;
let expiredClient: Certificate;

beforeAll(async () => {
  ours = await CertificateAuthority.create('Our CA');
  others = await CertificateAuthority.create('Another CA');
  server = await ours.issue({ name: 'broker' });
  selfSigned = await others.issue({ name: 'selfsigned', selfSigned: true });
  elsewhere = await ours.issue({ name: 'elsewhere', names: ['DNS:broker.example'] });
  expired = await ours.issue({ name: 'expired', expired: true });
  client = await ours.issue({ name: 'orders', purpose: 'client' });
  lockedClient = await ours.issue({ name: 'locked', purpose: 'client', passphrase: PASSPHRASE });
  foreignClient = await others.issue({ name: 'foreign', purpose: 'client' });
  expiredClient = await ours.issue({ name: 'former', purpose: 'client', expired: true });
});

afterAll(async () => {
  await Promise.all([ours, others].map((authority) => authority?.dispose()));
});

const pair = ({ cert, key }: Certificate): TlsOptions => ({ cert, key });
const mutual = (over: TlsOptions = {}): TlsOptions => ({
  ...pair(server),
  ca: ours.ca,
  requestCert: true,
  rejectUnauthorized: true,
  ...over,
});

/** A TLS listener in front of the broker, and a lab whose buses go there. */
async function withFront(options: TlsOptions, test: (front: TlsFront, lab: Lab) => Promise<void>): Promise<void> {
  const front = await new TlsFront(RABBITMQ.url, options).listen();
  const lab = new Lab(RABBITMQ.url);
  try {
    await test(front, lab);
  } finally {
    await lab.dispose();
    await front.close();
  }
}

const by = (url: string, tls: Tls) => ({ type: 'rabbitmq', url, tls }) satisfies RabbitMqTransportOptions;
type Target = ReturnType<typeof by> | string;

/** With credentials that must not be shown, nor be sent to whom is not trusted. */
function withCanary(url: string): string {
  const changed = new URL(url);
  changed.username = 'c4nary-user';
  changed.password = 'c4nary-password';
  return changed.href;
}

function listener(seen: Log<unknown>) {
  @Injectable()
  class OrderListener {
    @OnEvent('orders.*')
    on(payload: unknown): void {
      seen.add(payload);
    }
  }
  return OrderListener;
}

/** Boots on `transport`, and sends one event through it. */
async function works(lab: Lab, transport: Target) {
  const seen = new Log<unknown>('events');
  const booted = await lab.boot({ providers: [listener(seen)], options: { transport } });
  expect(await booted.bus.publish('orders.created', { id: 1 })).toMatchObject({ state: 'confirmed', routed: true });
  expect(await seen.settle(1)).toEqual([{ id: 1 }]);
  return { ...booted, seen };
}

/** A boot that fails in time, by the reason, which is told and shows no secret. */
async function refuses(lab: Lab, transport: Target, reason: RegExp): Promise<void> {
  const before = Date.now();
  const options = { transport, startup: { timeoutMs: STARTUP_MS } };
  const error = await bounded(lab.bootFails({ options }), STARTUP_MS + 2_000, 'the failing boot');
  expect(Date.now() - before).toBeLessThan(STARTUP_MS + 1_000);
  tells(error, lab, reason);
}

/** A boot that fails at once and for good, though there is much time left. */
async function stopsAtOnce(lab: Lab, transport: Target, reason: RegExp): Promise<void> {
  const options = { transport, startup: { timeoutMs: LONG_STARTUP_MS } };
  const error = await bounded(lab.bootFails({ options }), REFUSED_MS, 'the failing boot');
  expect(error).toMatchObject({ code: 'TLS_REFUSED', retryable: false });
  tells(error, lab, reason);
}

function tells(error: unknown, lab: Lab, reason: RegExp): void {
  expect(error).toBeInstanceOf(ConnectionError);
  const said = [inspect(error, { depth: 10 }), ...lab.lines].join('\n');
  expect(said).not.toContain('c4nary');
  expect(said).not.toContain('PRIVATE KEY');
  expect(lab.lines.filter((line) => /^(warn|error) /.test(line)).join('\n')).toMatch(reason);
  expect((error as ConnectionError).message).toMatch(reason);
}

/** Each of the two connections was tried once. */
async function assertNoMoreTries(front: TlsFront): Promise<void> {
  // in which a link that goes on trying would try several times
  await quiet(1_000);
  expect(front.attempts).toBe(2);
}

onRabbit('TLS: who is trusted', () => {
  it.each<readonly [string, () => Tls]>([
    ['a text', () => ({ ca: ours.ca })],
    ['a Buffer', () => ({ ca: Buffer.from(ours.ca) })],
    ['one of several', () => ({ ca: [others.ca, ours.ca] })],
  ])('the right CA (%s): two connections with modern TLS, and events go through', async (_, tls) => {
    await withFront(pair(server), async (front, lab) => {
      const { bus } = await works(lab, by(front.url(), tls()));
      expect(front.accepted).toHaveLength(2);
      expect(front.refused).toEqual([]);
      for (const handshake of front.accepted) {
        expect(handshake).toMatchObject({ protocol: 'TLSv1.3', servername: '', authorized: false, client: undefined });
        expect(handshake.cipher).toMatch(/^TLS_(AES|CHACHA20)_/);
      }
      expect(bus.status).toBe('up');
      expect(lab.lines.filter((line) => !line.startsWith('log '))).toEqual([]);
    });
  });

  it.each<readonly [string, string, () => Certificate, Tls, string]>([
    ['the host of the URL is named to the server', 'localhost', () => server, {}, 'localhost'],
    [
      'servername is named, and checked instead',
      '127.0.0.1',
      () => elsewhere,
      { servername: 'broker.example' },
      'broker.example',
    ],
  ])('%s', async (_, host, certificate, tls, expected) => {
    await withFront(pair(certificate()), async (front, lab) => {
      await works(lab, by(front.url(host), { ca: ours.ca, ...tls }));
      expect(front.accepted.map(({ servername }) => servername)).toEqual([expected, expected]);
    });
  });

  const cases: readonly Case[] = [
    {
      name: 'no CA is given',
      server: () => pair(server),
      tls: () => ({}),
      reason: /unable to verify|UNABLE_TO_VERIFY/i,
    },
    {
      name: 'another CA is given',
      server: () => pair(server),
      tls: () => ({ ca: others.ca }),
      reason: /unable to verify|UNABLE_TO_VERIFY/i,
    },
    {
      name: 'the certificate is self-signed',
      server: () => pair(selfSigned),
      tls: () => ({ ca: ours.ca }),
      reason: /self.signed/i,
    },
    {
      name: 'the certificate is for another host',
      server: () => pair(elsewhere),
      tls: () => ({ ca: ours.ca }),
      reason: /altname|does not match|wrong host/i,
    },
    {
      name: 'the certificate is not for the given servername',
      server: () => pair(server),
      tls: () => ({ ca: ours.ca, servername: 'broker.example' }),
      reason: /altname|does not match|wrong host/i,
    },
    {
      name: 'the certificate has expired',
      server: () => pair(expired),
      tls: () => ({ ca: ours.ca }),
      reason: /expired/i,
    },
    {
      name: 'the certificate is for clients',
      server: () => pair(client),
      tls: () => ({ ca: ours.ca, servername: 'orders' }),
      reason: /purpose|altname|does not match/i,
    },
  ];

  it.each(cases)('the boot is refused at once and for good when $name, and no credentials are sent', async (each) => {
    await withFront(each.server(), async (front, lab) => {
      await stopsAtOnce(lab, by(withCanary(front.url()), each.tls()), each.reason);
      await assertNoMoreTries(front);
      expect(front.accepted).toEqual([]);
    });
  });

  // a failed boot ends the bus, and any tries with it; here only the connections themselves can stop
  it.each(cases)(
    'in the background, when $name: down for good, and every publish is rejected at once',
    async (each) => {
      await withFront(each.server(), async (front, lab) => {
        const transport = by(withCanary(front.url()), each.tls());
        const { bus } = await lab.boot({ options: { transport, startup: { mode: 'background' } } });
        for (const [id, ms] of [REFUSED_MS, 100].entries()) {
          const refused = bus.publish('orders.created', { id }).catch((error: unknown) => error);
          const error = await bounded(refused, ms, 'the publish');
          expect(error).toMatchObject({ code: 'TLS_REFUSED', retryable: false });
          tells(error, lab, each.reason);
        }
        await assertNoMoreTries(front);
        expect(front.accepted).toEqual([]);
        expect(bus.status).toBe('down');
      });
    },
  );

  it('a plain amqps:// URL is verified too', async () => {
    await withFront(pair(server), async (front, lab) => {
      await stopsAtOnce(lab, withCanary(front.url()), /unable to verify|UNABLE_TO_VERIFY/i);
      await assertNoMoreTries(front);
      expect(front.accepted).toEqual([]);
    });
  });

  it('a server that has nothing newer than TLS 1.1 is refused', async () => {
    const old: TlsOptions = { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' };
    await withFront({ ...pair(server), ...old }, async (front, lab) => {
      await stopsAtOnce(lab, by(withCanary(front.url()), { ca: ours.ca }), /protocol.version|TLS version/i);
      await assertNoMoreTries(front);
      expect(front.accepted).toEqual([]);
      expect(front.refused.map(String).join('\n')).toMatch(/unsupported protocol/);
    });
  });

  it('amqps:// where plain AMQP is spoken is refused', async () => {
    const lab = new Lab(RABBITMQ.url);
    try {
      const url = RABBITMQ.url.replace(/^amqp:/, 'amqps:');
      await stopsAtOnce(lab, by(withCanary(url), { ca: ours.ca }), /wrong version number|not speak TLS|packet length/i);
      // there is no front that counts tries
      expect(lab.lines.filter((line) => line.includes('trying again'))).toEqual([]);
    } finally {
      await lab.dispose();
    }
  });

  it('amqp:// where TLS is spoken is refused, and no credentials are sent', async () => {
    await withFront(pair(server), async (front, lab) => {
      await refuses(lab, withCanary(front.url()).replace(/^amqps:/, 'amqp:'), /closed|hang up|reset/i);
      expect(front.accepted).toEqual([]);
      expect(front.refused.length).toBeGreaterThan(0);
    });
  });

  it('rejectUnauthorized: false connects to anybody, and says so once', async () => {
    await withFront(pair(selfSigned), async (front, lab) => {
      const { bus } = await works(lab, by(front.url(), { rejectUnauthorized: false }));
      expect(front.accepted).toHaveLength(2);
      front.drop();
      await until('it is connected again', () => front.accepted.length >= 4);
      await until('it is up', () => bus.status === 'up');
      const said = lab.lines.filter((line) => /^warn .*(rejectUnauthorized|verif)/i.test(line));
      expect(said).toHaveLength(1);
    });
  });
});

onRabbit('TLS: client certificates', () => {
  it.each<readonly [string, () => Tls, string, TlsOptions]>([
    ['TLS 1.3', () => ({ ca: ours.ca, ...pick(client) }), 'orders', {}],
    ['TLS 1.2', () => ({ ca: ours.ca, ...pick(client) }), 'orders', { maxVersion: 'TLSv1.2' }],
    ['a key with a passphrase', () => ({ ca: ours.ca, ...pick(lockedClient), passphrase: PASSPHRASE }), 'locked', {}],
  ])('a certificate of the CA that the broker believes is accepted: %s', async (_, tls, name, over) => {
    await withFront(mutual(over), async (front, lab) => {
      await works(lab, by(front.url(), tls()));
      const protocol = over.maxVersion ?? 'TLSv1.3';
      expect(front.accepted).toMatchObject(Array(2).fill({ authorized: true, client: name, protocol }));
    });
  });

  // the client of TLS 1.3 is done before it hears of the refusal; of TLS 1.2 the server ends the handshake
  it.each<readonly [string, () => Tls, 'TLSv1.2' | 'TLSv1.3', RegExp]>([
    ['none, TLS 1.3', () => ({}), 'TLSv1.3', /certificate required/i],
    ['none, TLS 1.2', () => ({}), 'TLSv1.2', /handshake failure/i],
    ['of another CA, TLS 1.3', () => pick(foreignClient), 'TLSv1.3', /closed|disconnected|certificate/i],
    ['of another CA, TLS 1.2', () => pick(foreignClient), 'TLSv1.2', /closed|disconnected|certificate/i],
    ['expired', () => pick(expiredClient), 'TLSv1.3', /closed|disconnected|certificate/i],
  ])('no certificate that the broker believes: %s', async (_, tls, maxVersion, reason) => {
    await withFront(mutual({ maxVersion }), async (front, lab) => {
      await refuses(lab, by(withCanary(front.url()), { ca: ours.ca, ...tls() }), reason);
      expect(front.refused.length).toBeGreaterThanOrEqual(2);
      expect(front.accepted).toEqual([]);
    });
  });

  it.each<readonly [string, () => Tls]>([
    ['a locked key with a wrong passphrase', () => ({ ...pick(lockedClient), passphrase: `${PASSPHRASE}-not` })],
    ['a locked key without a passphrase', () => pick(lockedClient)],
    ['the key of another certificate', () => ({ cert: client.cert, key: foreignClient.key })],
    ['a certificate that is none', () => ({ cert: 'c4nary', key: client.key })],
  ])('%s is refused without a connection, and the text says what is wrong', async (_, own) => {
    await withFront(mutual(), async (front, lab) => {
      const tls = { ca: ours.ca, ...own() };
      const options = { transport: by(withCanary(front.url()), tls), startup: { timeoutMs: STARTUP_MS } };
      const error = await bounded(lab.bootFails({ options }), STARTUP_MS + 2_000, 'the failing boot');
      expect(front.attempts).toBe(0);
      const said = [inspect(error, { depth: 10 }), ...lab.lines].join('\n');
      expect(said).not.toMatch(/c4nary|PRIVATE KEY/);
      // waiting does not mend it
      expect(error).toMatchObject({ retryable: false });
      expect(error.message).toMatch(/tls\.|passphrase|key|certificate/i);
    });
  });
});

onRabbit('TLS: later', () => {
  it('a service that has run outlives an expired certificate: it connects when that is renewed', async () => {
    await withFront(pair(server), async (front, lab) => {
      const { bus, seen } = await works(lab, by(front.url(), { ca: ours.ca }));
      front.present(pair(expired));
      front.drop();
      await until('it is down', () => bus.status === 'down');
      const { attempts } = front;
      const waiting = bus.publish('orders.created', { id: 2 });
      waiting.catch(() => undefined); // told below
      await until('it has tried again', () => front.attempts >= attempts + 4);
      expect(front.accepted).toHaveLength(2);
      expect(lab.lines.join('\n')).toMatch(/expired/i);
      front.present(pair(server));
      expect(await bounded(waiting, 8_000, 'the publish')).toMatchObject({ state: 'confirmed', routed: true });
      await seen.reach(2);
      await until('it is up', () => bus.status === 'up');
      expect(front.accepted).toHaveLength(4);
    });
  });
});

function pick({ cert, key }: Certificate): Tls {
  return { cert, key };
}
