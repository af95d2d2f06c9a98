import { describe, expect, it, jest } from '@jest/globals';
import { RELEASE } from '../../../lib/core/delivery.js';
import { BusClosedError } from '../../../lib/core/errors.js';
import { Outstanding } from '../../../lib/core/outstanding.js';
import { FakeDelivery } from '../support/fake.delivery.js';
import { withFakeTimers } from '../support/fake-timers.js';

function setUp(count: number) {
  const outstanding = new Outstanding<FakeDelivery>();
  const deliveries = Array.from({ length: count }, () => new FakeDelivery());
  for (const delivery of deliveries) outstanding.add(delivery);
  const drain = (ms: number): { isDone: boolean } => {
    const seen = { isDone: false };
    void outstanding.drain(ms).then(() => {
      seen.isDone = true;
    });
    return seen;
  };
  return { outstanding, deliveries, drain };
}

describe('Outstanding', () => {
  withFakeTimers();

  it('counts what was handed out and not settled', () => {
    const { outstanding, deliveries } = setUp(2);
    expect(outstanding.size).toBe(2);
    if (deliveries[0]) outstanding.delete(deliveries[0]);
    expect(outstanding.size).toBe(1);
  });

  describe('drain', () => {
    it('is done at once when there is nothing to wait for', async () => {
      const drained = setUp(0).drain(1_000);
      await jest.advanceTimersByTimeAsync(0);
      expect(drained.isDone).toBe(true);
      expect(jest.getTimerCount()).toBe(0);
    });

    it('waits for the last one and aborts none, whoever asks', async () => {
      const { outstanding, deliveries, drain } = setUp(2);
      const waiting = [drain(1_000), drain(1_000)];
      await jest.advanceTimersByTimeAsync(500);
      for (const delivery of deliveries) {
        expect(waiting.map(({ isDone }) => isDone)).toEqual([false, false]);
        outstanding.delete(delivery);
        await jest.advanceTimersByTimeAsync(0);
      }
      expect(waiting.map(({ isDone }) => isDone)).toEqual([true, true]);
      expect(deliveries.map(({ aborted }) => aborted)).toEqual([false, false]);
      expect(jest.getTimerCount()).toBe(0);
    });

    it('aborts at the deadline, then gives back what does not end by itself', async () => {
      const { outstanding, deliveries, drain } = setUp(2);
      const [obeys, hangs] = deliveries;
      obeys?.signal.addEventListener('abort', () => obeys && outstanding.delete(obeys));
      const drained = drain(1_000);
      await jest.advanceTimersByTimeAsync(999);
      expect(deliveries.map(({ aborted }) => aborted)).toEqual([false, false]);
      await jest.advanceTimersByTimeAsync(1);
      expect(deliveries.map(({ signal }) => signal.reason)).toEqual([
        expect.any(BusClosedError),
        expect.any(BusClosedError),
      ]);
      await jest.advanceTimersByTimeAsync(49);
      expect(drained.isDone).toBe(false);
      expect(hangs?.outcomes).toEqual([]);
      await jest.advanceTimersByTimeAsync(1);
      expect(drained.isDone).toBe(true);
      expect([obeys?.outcomes, hangs?.outcomes]).toEqual([[], [RELEASE]]);
    });

    it('gives nothing back when all end after the abort', async () => {
      const { outstanding, deliveries, drain } = setUp(1);
      const drained = drain(1_000);
      await jest.advanceTimersByTimeAsync(1_010);
      for (const delivery of deliveries) outstanding.delete(delivery);
      await jest.advanceTimersByTimeAsync(0);
      expect(drained.isDone).toBe(true);
      expect(deliveries[0]?.outcomes).toEqual([]);
    });

    it('waits for what is given back to be settled', async () => {
      const outstanding = new Outstanding<FakeDelivery>();
      let settle: (isInTime: boolean) => void = () => undefined;
      const answer = new Promise<boolean>((resolve) => (settle = resolve));
      outstanding.add(new FakeDelivery({ answer }));
      let isDone = false;
      void outstanding.drain(10).then(() => (isDone = true));
      await jest.advanceTimersByTimeAsync(1_000);
      expect(isDone).toBe(false);
      settle(true);
      await jest.advanceTimersByTimeAsync(0);
      expect(isDone).toBe(true);
    });
  });

  it('aborts all that are lost with their channel, settles none and lets a drain end', async () => {
    const { outstanding, deliveries, drain } = setUp(2);
    const drained = drain(60_000);
    const reason = new Error('channel gone');
    outstanding.lose(reason);
    await jest.advanceTimersByTimeAsync(0);
    expect(drained.isDone).toBe(true);
    expect(deliveries.map(({ signal, outcomes }) => [signal.reason, outcomes])).toEqual([
      [reason, []],
      [reason, []],
    ]);
    expect(outstanding.size).toBe(0);
  });
});
