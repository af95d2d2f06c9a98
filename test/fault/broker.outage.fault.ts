import 'reflect-metadata';
import type { Socket } from 'node:net';
import { expect, it } from '@jest/globals';
import { EVENT_BUS_CONNECTION, PublishTimeoutError } from '../../lib/index.js';
import { quiet, until } from '../../lib/testing/contract/until.js';
import { BrokerLoad, CONSERVED } from './harness/broker-load.js';
import { OwnBroker } from './harness/own-broker.js';

const RECOVERED_MS = 5_000;
const CLOSES = 10;
const FROZEN_MS = 8_000;
const HEARTBEAT_MS = 1_000;
/** Two silent intervals, the one that had begun, and what a busy machine adds. */
const DETECTED_MS = 3 * HEARTBEAT_MS + 1_000;
const own = new OwnBroker();

/** Each of the two connections tells of it, no reason twice, and that it is over. */
function assertToldOnce(lines: readonly string[]): void {
  for (const purpose of ['publish', 'consume']) {
    const told = lines.filter((line) => line.startsWith(`warn RabbitMQ ${purpose} connection`));
    expect(told.length).toBeGreaterThanOrEqual(1);
    expect(new Set(told).size).toBe(told.length);
    expect(lines.filter((line) => line.startsWith(`log RabbitMQ ${purpose} connection`))).toHaveLength(1);
  }
}

interface Driver {
  readonly connection: { readonly stream: Socket };
}

function socketsOf({ app }: BrokerLoad): readonly Socket[] {
  const connection = app.get<{ raw(): Readonly<Record<'publish' | 'consume', Driver>> }>(EVENT_BUS_CONNECTION);
  const { publish, consume } = connection.raw();
  return [publish.connection.stream, consume.connection.stream];
}

own.suite('a broker that is away for some time, under load', () => {
  it('restarted twice in order and once by SIGKILL: new events are handled within 5 s, nothing is lost', async () => {
    const load = await BrokerLoad.begin(own.node, own.lab, { timeoutMs: 10_000 });
    const { bus } = load;
    for (const how of ['stop', 'stop', 'kill'] as const) {
      const said = own.lab.lines.length;
      await own.node[how]();
      expect(own.node.isRunning).toBe(false);
      await until('it is down', () => bus.status === 'down');
      const readyAt = await own.node.restart();
      await load.probe(RECOVERED_MS);
      expect(Date.now() - readyAt).toBeLessThanOrEqual(RECOVERED_MS);
      await until('it is up', () => bus.status === 'up');
      assertToldOnce(own.lab.lines.slice(said));
      await load.flows();
    }
    expect(load.outages).toBeGreaterThanOrEqual(3);
    expect(await load.end()).toEqual(CONSERVED);
  }, 180_000);

  it('frozen: noticed by the heartbeat, publishes settle in time, recovers by itself, nothing is lost', async () => {
    const transport = { type: 'rabbitmq', url: own.node.url(), heartbeatMs: HEARTBEAT_MS };
    const publish = { unroutable: 'reject' } as const;
    const load = await BrokerLoad.begin(own.node, own.lab, { timeoutMs: 2_000, bus: { transport, publish } });
    const { bus, traffic } = load;
    const sockets = socketsOf(load);
    expect(sockets.map(({ destroyed }) => destroyed)).toEqual([false, false]);
    const [frozen, faults] = [performance.now(), own.node.faults];
    own.node.pause();
    try {
      await until('it is noticed', () => bus.status === 'down', DETECTED_MS);
      // whose end nobody answers
      await until('its sockets are destroyed', () => sockets.every(({ destroyed }) => destroyed), DETECTED_MS);
      await quiet(FROZEN_MS - (performance.now() - frozen));
      expect(bus.status).toBe('down');
    } finally {
      own.node.resume();
    }
    const resumed = performance.now();
    await load.probe(RECOVERED_MS);
    expect(performance.now() - resumed).toBeLessThanOrEqual(RECOVERED_MS);
    await until('it is up', () => bus.status === 'up');
    expect(own.node.faults - faults).toBe(1);
    const errors = [...traffic.failed.values()];
    expect(errors.length).toBeGreaterThan(0);
    for (const error of errors) expect(error).toBeInstanceOf(PublishTimeoutError);
    await load.flows();
    expect(await load.end()).toEqual(CONSERVED);
  }, 60_000);

  it(`its operator closes all connections ${CLOSES} times: each time up again, nothing is lost`, async () => {
    const load = await BrokerLoad.begin(own.node, own.lab, { timeoutMs: 10_000 });
    for (let close = 1; close <= CLOSES; close++) {
      const said = own.lab.lines.length;
      await own.node.ctl('close_all_connections', 'maintenance');
      await until('it was down', () => load.outages >= close);
      await until('it is up', () => load.bus.status === 'up', RECOVERED_MS);
      await load.flows(20, RECOVERED_MS);
      assertToldOnce(own.lab.lines.slice(said));
    }
    expect(load.traffic.failed.size).toBe(0);
    expect(await load.end()).toEqual(CONSERVED);
  }, 90_000);
});
