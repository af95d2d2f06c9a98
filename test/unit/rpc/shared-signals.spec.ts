import { getEventListeners } from 'node:events';
import { beforeEach, describe, expect, it } from '@jest/globals';
import { SharedSignals } from '../../../lib/rpc/shared-signals.js';

describe('signals that many requests share', () => {
  let shared: SharedSignals;
  let run: AbortController;
  let told: number[];
  beforeEach(() => {
    shared = new SharedSignals();
    run = new AbortController();
    told = [];
  });
  const listeners = (): number => getEventListeners(run.signal, 'abort').length;

  it('have one listener, and none when nobody waits', () => {
    const hearers = Array.from({ length: 1_000 }, (_, n) => () => void told.push(n));
    for (const hearer of hearers) shared.add(run.signal, hearer);
    expect(listeners()).toBe(1);
    for (const hearer of hearers) shared.remove(run.signal, hearer);
    expect(listeners()).toBe(0);
    for (const hearer of hearers.slice(0, 2)) shared.add(run.signal, hearer);
    run.abort();
    expect(told).toEqual([0, 1]);
    expect(listeners()).toBe(0);
  });

  it('tell nobody who has left meanwhile', () => {
    const second = (): void => void told.push(2);
    shared.add(run.signal, () => {
      told.push(1);
      shared.remove(run.signal, second);
    });
    shared.add(run.signal, second);
    run.abort();
    expect(told).toEqual([1]);
  });
});
