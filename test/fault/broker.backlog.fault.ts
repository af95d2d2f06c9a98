import 'reflect-metadata';
import { expect, it } from '@jest/globals';
import { Injectable } from '@nestjs/common';
import { OnEvent } from '../../lib/index.js';
import { quiet, until } from '../../lib/testing/contract/until.js';
import { waitingIn } from './harness/by-hand.js';
import { collectedHeap } from './harness/collected-heap.js';
import { range } from './harness/fake-broker.lab.js';
import { OwnBroker } from './harness/own-broker.js';
import { drainQueues } from './harness/queue-contents.js';

const MIB = 1_048_576;
const SECONDS = 10;
const PER_SECOND = 1_000;
const TICK_MS = 20;
const HANDLER_MS = 100;
const PREFETCH = 20;
const BODY_BYTES = 4_096;
const TIMEOUT_MS = 5_000;
const WARM_MS = 2_000;
const own = new OwnBroker();

own.suite('a consumer that is a hundred times slower than its producer', () => {
  it(`for ${SECONDS} s: the broker holds the backlog, this process does not grow, and in the end all is handled`, async () => {
    const total = SECONDS * PER_SECOND;
    const [confirmed, handled] = [new Uint8Array(total), new Uint8Array(total)];
    const counts = { confirmed: 0, failed: 0, handled: 0 };
    let handlerMs = HANDLER_MS;
    @Injectable()
    class RowListener {
      @OnEvent('rows.*', { concurrency: 1, prefetch: PREFETCH })
      async on({ n }: { readonly n: number }): Promise<void> {
        if (handlerMs > 0) await quiet(handlerMs);
        handled[n] = (handled[n] ?? 0) + 1;
        counts.handled++;
      }
    }
    const { app, bus } = await own.lab.boot({
      options: { transport: own.node.url(), publish: { timeoutMs: TIMEOUT_MS, unroutable: 'reject' } },
      providers: [RowListener],
    });
    const group = `${own.lab.service}.RowListener.on`;
    const pad = 'x'.repeat(BODY_BYTES);
    const publish = async (n: number): Promise<void> => {
      try {
        await bus.publish('rows.imported', { n, pad });
        confirmed[n] = 1;
        counts.confirmed++;
      } catch {
        counts.failed++;
      }
    };

    let [sent, most, warm] = [0, 0, 0];
    const began = performance.now();
    while (sent < total) {
      const passed = performance.now() - began;
      const due = Math.min(total, Math.floor((passed / 1_000) * PER_SECOND));
      while (sent < due) void publish(sent++);
      const { running = 0, waiting = 0 } = bus.stats().groups[group] ?? {};
      most = Math.max(most, running + waiting);
      if (warm === 0 && passed >= WARM_MS) warm = await collectedHeap();
      await quiet(TICK_MS);
    }
    await until('every publish has settled', () => counts.confirmed + counts.failed === total, TIMEOUT_MS + 1_000);
    const grown = (await collectedHeap()) - warm;
    const elapsed = performance.now() - began;
    // as slow as it was meant to be, so that nearly all had to be held by somebody
    expect(counts.handled).toBeLessThanOrEqual(elapsed / HANDLER_MS);
    expect(counts.confirmed).toBe(total);
    expect(await waitingIn(own.node.url(), group)).toBeGreaterThan(0.95 * total - PREFETCH);
    expect(most).toBeGreaterThan(1);
    expect(most).toBeLessThanOrEqual(PREFETCH);
    expect(grown).toBeLessThanOrEqual(4 * MIB);

    handlerMs = 0;
    await until('all is handled', () => counts.handled >= total, 30_000);
    expect(range(total).filter((n) => confirmed[n] === 1 && handled[n] !== 1)).toEqual([]);
    await until('nothing is in work', () => bus.stats().groups[group]?.running === 0);
    await app.close();
    const { left, dead } = await drainQueues(own.node.url(), group);
    expect({ left: left.size, dead: dead.size }).toEqual({ left: 0, dead: 0 });
  }, 90_000);
});
