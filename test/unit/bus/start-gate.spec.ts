import { describe, expect, it, jest } from '@jest/globals';
import type { EventBusOptions } from '../../../lib/bus/event-bus.options.js';
import type { OpenGate } from '../../../lib/bus/start-gate.js';
import { BusClosedError, EventBusError } from '../../../lib/core/errors.js';
import { aBus, type FakeParts } from '../support/buses.js';
import { type Deferred, deferred } from '../support/deferred.js';
import { withFakeTimers } from '../support/fake-timers.js';
import { aRegistration } from '../support/handlers.js';
import { maxListenersOf } from '../support/max-listeners.js';

const BACKGROUND: EventBusOptions = { startup: { mode: 'background' } };
const tick = () => jest.advanceTimersByTimeAsync(0);
const locked = new EventBusError('LOCKED', 'locked');

/** A bus behind a gate that the test opens, one try after the other. */
class Gated {
  readonly tries: Deferred[] = [];
  readonly signals: AbortSignal[] = [];
  readonly parts: ReturnType<typeof aBus>;

  constructor(options?: EventBusOptions, change: (parts: FakeParts) => void = () => undefined) {
    const gate: OpenGate = (signal) => {
      const one = deferred();
      this.tries.push(one);
      this.signals.push(signal);
      return one.promise;
    };
    this.parts = aBus(options, { gate });
    change(this.parts);
  }

  get consumers(): number {
    return this.parts.transport.consumers.length;
  }

  async prepare(): Promise<void> {
    await this.parts.bus.prepare([aRegistration()]);
    await tick();
  }
}

describe('the gate before consumers', () => {
  withFakeTimers();

  it('may be waited at by any number of policies', async () => {
    const gated = new Gated();
    await gated.prepare();
    const started = gated.parts.bus.start();
    expect(gated.signals.map((signal) => maxListenersOf(signal))).toEqual([0]);
    gated.tries[0]?.resolve();
    await started;
  });

  it('holds back nothing but consumers, and opens once', async () => {
    const gated = new Gated();
    const { bus, transport } = gated.parts;
    await gated.prepare();
    expect(bus.status).toBe('up');
    expect(gated.tries).toHaveLength(0);
    const starts = Promise.all([bus.start(), bus.start()]);
    await tick();
    expect(bus.status).toBe('starting');
    expect(gated.consumers).toBe(0);
    await bus.publish('orders.created', 1);
    await bus.subscribe('orders.*', () => undefined);
    expect(transport.sent).toHaveLength(1);
    const before = gated.consumers;
    gated.tries[0]?.resolve();
    await starts;
    expect(gated.consumers).toBeGreaterThan(before);
    expect(bus.status).toBe('up');
    await bus.start();
    expect(gated.tries).toHaveLength(1);
  });

  it('is not bounded by startup.timeoutMs', async () => {
    const gated = new Gated({ startup: { timeoutMs: 100 } });
    await gated.prepare();
    const starting = gated.parts.bus.start();
    await jest.advanceTimersByTimeAsync(60_000);
    gated.tries[0]?.resolve();
    await starting;
    expect(gated.consumers).toBeGreaterThan(0);
  });

  it('rejects the start with the error of the policy; the next start asks again', async () => {
    const gated = new Gated();
    const { bus } = gated.parts;
    await gated.prepare();
    const starting = bus.start();
    gated.tries[0]?.reject(locked);
    await expect(starting).rejects.toBe(locked);
    expect(gated.consumers).toBe(0);
    const again = bus.start();
    gated.tries[1]?.resolve();
    await again;
    expect(gated.consumers).toBeGreaterThan(0);
  });

  it.each(['drain', 'close'] as const)('ends with a %s, even if the policy does not', async (end) => {
    const gated = new Gated();
    const { bus, logger } = gated.parts;
    await gated.prepare();
    const starting = bus.start().catch((error: unknown) => error);
    await bus[end]();
    expect(await starting).toBeInstanceOf(BusClosedError);
    expect(gated.signals[0]?.reason).toBeInstanceOf(BusClosedError);
    gated.tries[0]?.resolve();
    await tick();
    expect(gated.consumers).toBe(0);
    expect(logger.lines).toEqual([]);
    expect(jest.getTimerCount()).toBe(0);
  });

  it('does not let through what the close has overtaken', async () => {
    const gated = new Gated();
    await gated.prepare();
    const starting = gated.parts.bus.start().catch((error: unknown) => error);
    gated.tries[0]?.resolve();
    await Promise.all([gated.parts.bus.close(), starting]);
    expect(await starting).toBeInstanceOf(BusClosedError);
    expect(gated.consumers).toBe(0);
  });

  it('is waited for in the background, from when there is a broker', async () => {
    const connecting = deferred();
    const gated = new Gated(BACKGROUND, ({ transport }) => {
      transport.connecting = connecting.promise;
    });
    const { bus } = gated.parts;
    await gated.prepare();
    await bus.start();
    expect(gated.tries).toHaveLength(0);
    connecting.resolve();
    await tick();
    expect(gated.tries).toHaveLength(1);
    expect(bus.status).toBe('starting');
    gated.tries[0]?.resolve();
    await tick();
    expect(gated.consumers).toBeGreaterThan(0);
    expect(bus.status).toBe('up');
  });

  it('is tried again in the background, and says why once', async () => {
    const gated = new Gated(BACKGROUND);
    const { bus, logger } = gated.parts;
    await gated.prepare();
    await bus.start();
    await tick();
    for (const [index, error] of [locked, locked, new EventBusError('OTHER', 'other')].entries()) {
      gated.tries[index]?.reject(error);
      await tick();
      expect(bus.status).toBe('starting');
      await jest.advanceTimersByTimeAsync(9_999);
      expect(gated.tries).toHaveLength(index + 1);
      await jest.advanceTimersByTimeAsync(1);
    }
    gated.tries[3]?.resolve();
    await tick();
    expect(gated.consumers).toBeGreaterThan(0);
    expect(logger.lines).toEqual([
      'error: Nothing is consumed yet; tried again every 10000 ms. EventBusError: locked',
      'error: Nothing is consumed yet; tried again every 10000 ms. EventBusError: other',
    ]);
  });

  it.each(['connects', 'waits', 'pauses'])('ends in the background while it %s', async (what) => {
    const gated = new Gated(BACKGROUND, ({ transport }) => {
      if (what === 'connects') transport.connecting = new Promise(() => undefined);
    });
    const { bus, logger } = gated.parts;
    await gated.prepare();
    await bus.start();
    await tick();
    if (what === 'pauses') gated.tries[0]?.reject(locked);
    await tick();
    const said = logger.lines.length;
    await bus.close();
    await tick();
    gated.tries[0]?.resolve();
    await tick();
    expect(gated.consumers).toBe(0);
    expect(logger.lines).toHaveLength(said);
    expect(bus.status).toBe('closed');
    expect(jest.getTimerCount()).toBe(0);
  });
});
