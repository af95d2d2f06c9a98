import 'reflect-metadata';
import { setImmediate } from 'node:timers/promises';
import { describe, expect, it } from '@jest/globals';
import { Injectable } from '@nestjs/common';
import { OnEvent } from '../../lib/index.js';
import { bounded, quiet, until } from '../../lib/testing/contract/until.js';
import { isReachable, RABBITMQ } from '../support/brokers.js';
import { withLab } from '../support/lab.js';
import { TcpProxy, withPort } from '../support/tcp-proxy.js';
import { outcomeOf, range } from './harness/fake-broker.lab.js';
import { verify } from './harness/verdict.js';

const onRabbit = (await isReachable(RABBITMQ)) ? describe : describe.skip;

/** By night one asks for more. */
const ROUNDS = Number(process.env.FAULT_RESETS ?? 20);
const ORDERED_ROUNDS = Math.ceil(ROUNDS / 2);
/** Of one stream, which does not wait for a confirm before it goes on. */
const IN_FLIGHT = 50;
const PUBLISHERS = 10;
const PREFETCH = 20;
const RECOVERED_MS = 8_000;
/** Of several sizes: some fit a segment, some are cut by it. */
const PAD_BYTES: readonly number[] = [10, 2_000, 30_000];

interface Order {
  readonly n: number;
  readonly pad: string;
}

function order(n: number): Order {
  return { n, pad: String(n % 10).repeat(PAD_BYTES[n % PAD_BYTES.length] ?? 0) };
}

/** How often each order was handled, and those that came as they were not sent. */
class Received {
  readonly counts = new Map<number, number>();
  readonly broken: unknown[] = [];

  listener() {
    const { counts, broken } = this;
    @Injectable()
    class OrderListener {
      @OnEvent('orders.*', { prefetch: PREFETCH })
      on(payload: Order): void {
        if (payload.pad !== order(payload.n).pad) broken.push(payload);
        counts.set(payload.n, (counts.get(payload.n) ?? 0) + 1);
      }
    }
    return OrderListener;
  }
}

onRabbit('connections that are reset under load', () => {
  const faults: readonly (readonly [string, (proxy: TcpProxy) => Promise<number> | number])[] = [
    ['in the middle of a frame', (proxy) => proxy.resetMidFrame(RECOVERED_MS)],
    ['while bytes are on their way', (proxy) => proxy.reset()],
  ];

  it.each(faults)(
    `%s, ${ROUNDS} times: nothing is lost, and no half message is handled`,
    async (_, fault) => {
      const proxy = await new TcpProxy(RABBITMQ.url).listen();
      proxy.latency(2, 5);
      const received = new Received();
      const confirmed: number[] = [];
      const failed: unknown[] = [];
      let [next, isOver] = [0, false];
      try {
        await withLab(withPort(RABBITMQ.url, proxy.port), async (lab) => {
          const { bus, deadLetters } = await lab.boot({ providers: [received.listener()] });
          const publisher = async (): Promise<void> => {
            while (!isOver) {
              const n = next++;
              const { value, error } = await outcomeOf(bus.publish('orders.created', order(n)));
              if (value) confirmed.push(n);
              else failed.push(error);
              await quiet(2);
            }
          };
          const publishers = range(PUBLISHERS).map(publisher);
          let cut = 0;
          for (const round of range(ROUNDS)) {
            const handled = received.counts.size;
            await until(`it works, round ${round}`, () => received.counts.size > handled + 10, RECOVERED_MS);
            cut += await fault(proxy);
          }
          isOver = true;
          await bounded(Promise.all(publishers), 15_000, 'the publishers');
          expect(failed).toEqual([]);
          await until('all are handled', () => confirmed.every((n) => received.counts.has(n)), 15_000);
          await until('it is up', () => bus.status === 'up', RECOVERED_MS);
          expect(received.broken).toEqual([]);
          expect(confirmed).toHaveLength(next);
          expect(await deadLetters.count(`${lab.service}.OrderListener.on`)).toBe(0);
          expect(cut).toBe(proxy.resets);
          expect(cut).toBeGreaterThanOrEqual(ROUNDS);
          const handled = [...received.counts.values()].reduce((sum, count) => sum + count, 0);
          // what was unconfirmed or held when a connection went
          expect(handled - confirmed.length).toBeLessThanOrEqual(cut * (PUBLISHERS + PREFETCH));
          process.stderr.write(
            `${cut} resets: ${confirmed.length} confirmed, ${handled - confirmed.length} handled twice\n`,
          );
        })();
      } finally {
        isOver = true;
        await proxy.close();
      }
    },
    60_000 + ROUNDS * 5_000,
  );

  it(
    `${ORDERED_ROUNDS} times, one stream to one handler: nothing is lost, and first handlings are in order`,
    async () => {
      const proxy = await new TcpProxy(RABBITMQ.url).listen();
      proxy.latency(2, 5);
      const handled = new Map<string, number>();
      const arrivals: number[] = [];
      const [sent, confirmed] = [new Set<string>(), new Set<string>()];
      const failed: unknown[] = [];
      const inFlight = new Set<Promise<void>>();
      let isOver = false;

      @Injectable()
      class StreamListener {
        @OnEvent('stream.*', { concurrency: 1, prefetch: PREFETCH })
        async on(n: number): Promise<void> {
          arrivals.push(n);
          // so that a connection can go while it runs
          await setImmediate();
          handled.set(String(n), (handled.get(String(n)) ?? 0) + 1);
        }
      }

      try {
        await withLab(withPort(RABBITMQ.url, proxy.port), async (lab) => {
          const { bus } = await lab.boot({ providers: [StreamListener] });
          const publish = async (n: number): Promise<void> => {
            const id = String(n);
            sent.add(id);
            const { value, error } = await outcomeOf(bus.publish('stream.go', n, { id }));
            if (value) confirmed.add(id);
            else failed.push(error);
          };
          const stream = async (): Promise<void> => {
            for (let n = 0; !isOver; n++) {
              const settled: Promise<void> = publish(n).finally(() => inFlight.delete(settled));
              inFlight.add(settled);
              if (inFlight.size === IN_FLIGHT) await Promise.race(inFlight);
            }
            await Promise.all(inFlight);
          };
          const streaming = stream();
          for (const round of range(ORDERED_ROUNDS)) {
            const { size } = handled;
            await until(`it works, round ${round}`, () => handled.size > size + 2 * IN_FLIGHT, RECOVERED_MS);
            expect(inFlight.size).toBeGreaterThan(IN_FLIGHT / 2);
            // by turns, as they leave different things behind
            const cut = round % 2 === 0 ? proxy.reset() : await proxy.resetMidFrame(RECOVERED_MS);
            expect(cut).toBeGreaterThan(0);
          }
          isOver = true;
          await bounded(streaming, 15_000, 'the stream').catch(() => undefined);
          await until('all are handled', () => [...confirmed].every((id) => handled.has(id)), 30_000).catch(
            () => undefined,
          );
          const pending = inFlight.size;
          const verdict = verify({ confirmed, sent, handled, orders: [arrivals], pending, faults: proxy.resets });
          expect(verdict).toMatchObject({ lost: [], disorder: 0, pending: 0, problems: [] });
          expect(failed).toEqual([]);
          expect(verdict.confirmed).toBe(sent.size);
          expect(verdict.faults).toBeGreaterThanOrEqual(ORDERED_ROUNDS);
          const { faults: resets, duplicates } = verdict;
          process.stderr.write(
            `${resets} resets: ${confirmed.size} confirmed, in order, ${duplicates} handled twice\n`,
          );
        })();
      } finally {
        isOver = true;
        await proxy.close();
      }
    },
    60_000 + ORDERED_ROUNDS * 5_000,
  );
});
