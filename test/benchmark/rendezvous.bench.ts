import { randomUUID } from 'node:crypto';
import { connect } from 'amqplib';
import { createEventBus } from '../../lib/create-event-bus.js';
import { rendezvousOf } from '../../lib/rendezvous/rendezvous.factory.js';
import type { BoundsResult } from './bounds.bench.js';

const INSTANCES = 100;
const LIMIT_MS = 2_000;
/** Connecting is not what is measured; a broker takes its time with two hundred connections. */
const CONNECTED_AT_A_TIME = 10;

/** As many instances, each with connections of its own, announce themselves and wait for all. */
export async function benchmarkRendezvous(url: string, quick: boolean): Promise<readonly BoundsResult[]> {
  const count = quick ? 10 : INSTANCES;
  const exchange = `bench-${randomUUID().slice(0, 8)}`;
  const logger = { log: () => undefined, warn: console.warn, error: console.error };
  const made = await Promise.all(
    Array.from({ length: count }, (_, n) => createEventBus({ service: `s${n}`, exchange, transport: url, logger })),
  );
  const results: BoundsResult[] = [];
  try {
    const waiting = [...made];
    const open = async (): Promise<void> => {
      for (let next = waiting.shift(); next; next = waiting.shift()) await next.bus.prepare([]);
    };
    await Promise.all(Array.from({ length: CONNECTED_AT_A_TIME }, open));
    const services = made.map((parts) => rendezvousOf(parts.bus, parts.options, parts.exchange, parts.logger));
    for (const round of ['meet', 'meet again']) {
      const began = performance.now();
      const met = await Promise.all(
        services.map(async (service, n) => {
          await service.announceReady(['worker', `worker.${n}`]);
          return service.waitUntilReady({ worker: count }, { timeoutMs: 60_000 });
        }),
      );
      const ms = performance.now() - began;
      const title = `rendezvous: ${count} instances ${round} in ${ms.toFixed(0)} ms (limit ${LIMIT_MS})`;
      const isKept = ms <= LIMIT_MS && met.every(({ length }) => length === count);
      results.push({ title, isKept });
      console.log(`  ${isKept ? 'kept  ' : 'BROKEN'} ${title}`);
      await Promise.all(services.map((service) => service.withdraw()));
    }
  } finally {
    await Promise.all(made.map(({ bus }) => bus.close()));
    await removeExchanges(url, exchange);
  }
  console.log('');
  return results;
}

async function removeExchanges(url: string, exchange: string): Promise<void> {
  const connection = await connect(url);
  try {
    const channel = await connection.createChannel();
    for (const suffix of ['', '.broadcast', '.control']) await channel.deleteExchange(`${exchange}${suffix}`);
  } finally {
    await connection.close();
  }
}
