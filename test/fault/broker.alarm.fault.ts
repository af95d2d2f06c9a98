import 'reflect-metadata';
import { expect, it } from '@jest/globals';
import { BrokerBlockedError, PublishTimeoutError } from '../../lib/index.js';
import { Log } from '../../lib/testing/contract/log.js';
import { bounded, until } from '../../lib/testing/contract/until.js';
import { waitingIn } from './harness/by-hand.js';
import { groupOf, orderListener, outcomeOf, pendingOf, range, warnings } from './harness/fake-broker.lab.js';
import { OwnBroker } from './harness/own-broker.js';
import { drainQueues } from './harness/queue-contents.js';

const TIMEOUT_MS = 1_000;
const SLACK_MS = 1_000;
const RECOVERED_MS = 5_000;
const BACKLOG = 300;
const CONCURRENCY = 5;
const PREFETCH = 10;
const own = new OwnBroker();

own.suite('a broker with a memory alarm', () => {
  it('publishes reject in time, consumers go on, and all works when it is over', async () => {
    const seen = new Log<unknown>('events');
    let open: () => void = () => undefined;
    const gate = new Promise<void>((resolve) => {
      open = resolve;
    });
    const { app, bus } = await own.lab.boot({
      options: { transport: own.node.url(), publish: { timeoutMs: TIMEOUT_MS } },
      providers: [orderListener(seen, { concurrency: CONCURRENCY, prefetch: PREFETCH }, () => gate)],
    });
    const group = groupOf(own.lab);
    await Promise.all(range(BACKLOG).map((n) => bus.publish('orders.created', n)));
    expect(seen.length).toBeLessThanOrEqual(CONCURRENCY);

    await own.node.ctl('set_vm_memory_high_watermark', '0.00001');
    const flood = (name: string) =>
      Promise.all(range(20).map((n) => outcomeOf(bus.publish('orders.flood', `${name} ${n}`))));
    // the broker says so when the first of these comes
    const first = await flood('first');
    expect(bus.status).toBe('degraded');
    const second = await flood('second');
    for (const { error, ms } of [...first, ...second]) {
      expect(error instanceof PublishTimeoutError || error instanceof BrokerBlockedError).toBe(true);
      expect(ms).toBeLessThanOrEqual(TIMEOUT_MS + SLACK_MS);
    }
    for (const { error } of second) expect(error).toMatchObject({ code: 'BROKER_BLOCKED', retryable: true });
    expect(pendingOf(bus)).toBe(0);

    // one more can have been sent, and be held back, when the consumer went to full speed
    expect([BACKLOG - PREFETCH - 1, BACKLOG - PREFETCH]).toContain(await waitingIn(own.node.url(), group));
    open();
    // it gets so many only by acknowledging
    await seen.reach(BACKLOG);
    expect(await waitingIn(own.node.url(), group)).toBe(0);
    expect(bus.status).toBe('degraded');
    expect(seen.items).toEqual(range(BACKLOG));

    const waiting = bus.publish('orders.waits', 'waited', { timeoutMs: 30_000 });
    await own.node.ctl('set_vm_memory_high_watermark', '0.4');
    expect(await bounded(waiting, RECOVERED_MS, 'the publish that waited')).toMatchObject({ routed: true });
    await until('it is up', () => bus.status === 'up');
    expect(await bus.publish('orders.created', BACKLOG)).toMatchObject({ routed: true });
    await until('they are handled', () => seen.items.includes('waited') && seen.items.includes(BACKLOG));
    expect(warnings(own.lab).filter((line) => /blocks publishers|accepts publishers again/.test(line))).toHaveLength(2);

    // stored nowhere, as they were told
    expect(seen.items.filter((item) => String(item).startsWith('second'))).toEqual([]);
    await until('nothing is in work', () => bus.stats().groups[group]?.running === 0);
    await app.close();
    const { left, dead } = await drainQueues(own.node.url(), group);
    expect({ left: left.size, dead: dead.size }).toEqual({ left: 0, dead: 0 });
  }, 60_000);
});
