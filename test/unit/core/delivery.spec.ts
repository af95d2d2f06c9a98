import { describe, expect, it } from '@jest/globals';
import { ACK, LazySignal, RELEASE } from '../../../lib/core/delivery.js';

describe('ACK and RELEASE', () => {
  it('are frozen: all deliveries share them', () => {
    expect([ACK, RELEASE].map((each) => [each, Object.isFrozen(each)])).toEqual([
      [{ kind: 'ack' }, true],
      [{ kind: 'release' }, true],
    ]);
  });
});

describe('LazySignal', () => {
  it('is not aborted at first, and gives one signal', () => {
    const lazy = new LazySignal();
    expect([lazy.aborted, lazy.signal.aborted]).toEqual([false, false]);
    expect(lazy.signal).toBe(lazy.signal);
  });

  it.each(['before', 'after'])('tells why it was aborted to who looked %s it was', (when) => {
    const lazy = new LazySignal();
    const early = when === 'before' ? lazy.signal : undefined;
    const reason = new Error('first');
    lazy.abort(reason);
    lazy.abort(new Error('second'));
    expect(lazy.aborted).toBe(true);
    expect((early ?? lazy.signal).reason).toBe(reason);
    expect(lazy.signal.aborted).toBe(true);
  });
});
