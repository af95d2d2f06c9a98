import 'reflect-metadata';
import { inspect } from 'node:util';
import { afterAll, expect, it } from '@jest/globals';
import { ConnectionError, type RabbitMqTransportOptions } from '../../lib/index.js';
import { bounded, until } from '../../lib/testing/contract/until.js';
import { type Certificate, CertificateAuthority } from './harness/certificates.js';
import { OwnBroker } from './harness/own-broker.js';
import { RabbitMqNode } from './harness/rabbitmq-node.js';
import { Traffic } from './harness/traffic.js';

const PASSPHRASE = 'c4nary-passphrase';
const STARTUP_MS = 4_000;
const RECOVERED_MS = 10_000;

let ours: CertificateAuthority;
let others: CertificateAuthority;
let client: Certificate;
let foreign: Certificate;
let expired: Certificate;

const own = new OwnBroker(async () => {
  [ours, others] = await Promise.all([CertificateAuthority.create(), CertificateAuthority.create('Another CA')]);
  const server = await ours.issue({ name: 'broker' });
  client = await ours.issue({ name: 'orders', purpose: 'client', passphrase: PASSPHRASE });
  foreign = await others.issue({ name: 'foreign', purpose: 'client' });
  expired = await ours.issue({ name: 'former', purpose: 'client', expired: true });
  const { certFile, keyFile } = server;
  return RabbitMqNode.start({ tls: { caFile: ours.root.certFile, certFile, keyFile, verifyPeer: true } });
});

own.suite('the TLS listener of a broker that asks for certificates', () => {
  afterAll(() => Promise.all([ours, others].map((authority) => authority?.dispose())));

  const target = (tls: RabbitMqTransportOptions['tls']) =>
    ({ type: 'rabbitmq', url: own.node.tlsUrl(), tls }) satisfies RabbitMqTransportOptions;

  it('accepts the client; the broker names its certificate, and speaks modern TLS', async () => {
    const { cert, key } = client;
    const traffic = new Traffic();
    const transport = target({ ca: ours.ca, cert, key, passphrase: PASSPHRASE });
    const { bus } = await own.lab.boot({ options: { transport }, providers: [traffic.listener()] });
    traffic.start(bus);
    await until('events flow', () => traffic.handled.size > 100);
    const columns = ['ssl', 'ssl_protocol', 'peer_cert_subject', 'peer_cert_issuer'];
    const rows = (await own.node.ctl('list_connections', '--no-table-headers', ...columns)).split('\n');
    expect(rows).toHaveLength(2);
    for (const row of rows) expect(row).toMatch(/^true\ttlsv1\.[23]\tCN=orders\tCN=Fault test CA$/);
    await traffic.stop();
    await until('all is handled', () => traffic.lost.length === 0);
    expect(traffic.failed.size).toBe(0);
  });

  // the broker says why; of the words for it versions differ
  it.each<readonly [string, () => Partial<Certificate>, RegExp]>([
    ['none', () => ({}), /certificate.required|handshake.failure|bad.certificate/i],
    ['of another CA', () => foreign, /unknown.ca|bad.certificate|certificate.unknown/i],
    ['expired', () => expired, /expired|bad.certificate/i],
  ])('refuses a client whose certificate is %s: the boot is rejected with the reason', async (_, identity, reason) => {
    const { cert, key } = identity();
    const transport = target({ ca: ours.ca, ...(cert && { cert }), ...(key && { key }) });
    const before = Date.now();
    const booting = own.lab.bootFails({ options: { transport, startup: { timeoutMs: STARTUP_MS } } });
    const error = await bounded(booting, STARTUP_MS + 2_000, 'the failing boot');
    expect(Date.now() - before).toBeLessThan(STARTUP_MS + 1_000);
    expect(error).toBeInstanceOf(ConnectionError);
    expect(error.message).toMatch(reason);
    expect([inspect(error, { depth: 10 }), ...own.lab.lines].join('\n')).not.toMatch(/c4nary|PRIVATE KEY/);
  });

  it('is killed and comes back: connected with TLS again, nothing is lost', async () => {
    const { cert, key } = client;
    const traffic = new Traffic({ timeoutMs: 40_000 });
    const transport = target({ ca: ours.ca, cert, key, passphrase: PASSPHRASE });
    const { bus } = await own.lab.boot({ options: { transport }, providers: [traffic.listener()] });
    await own.node.settleQueues();
    traffic.start(bus);
    await until('events flow', () => traffic.handled.size > 100);
    await own.node.kill();
    await until('it is down', () => bus.status === 'down');
    await own.node.restart();
    const { size } = traffic.confirmed;
    await until('new events are confirmed', () => traffic.confirmed.size > size + 50, RECOVERED_MS);
    await bounded(traffic.stop(), 45_000, 'settling all publishes');
    await until('all is handled', () => traffic.lost.length === 0).catch(() => undefined);
    expect({ lost: traffic.lost, failed: [...traffic.failed], unrouted: traffic.unrouted }).toEqual({
      lost: [],
      failed: [],
      unrouted: 0,
    });
    expect(own.node.faults).toBe(1);
  }, 90_000);
});
