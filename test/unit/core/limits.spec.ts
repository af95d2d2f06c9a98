import { describe, expect, it } from '@jest/globals';
import { DEFAULTS, DEFERRAL_LEVELS_MS, LIMITS } from '../../../lib/core/limits.js';

// copied by hand from the design: a number that changes is a change of what was promised
describe('limits', () => {
  it('are those of AMQP and of the design', () => {
    expect(LIMITS).toMatchObject({
      topicBytes: 255,
      messageBytes: 1_048_576,
      deferrals: 100,
      deferMs: 2_592_000_000,
      depth: 1_000,
      internalHeaderBytes: 1_024,
      holdMs: 1_500_000,
    });
  });

  it('keep headers below the 64 KiB at which the AMQP client gives up', () => {
    const { headerBytes, errorMessageBytes, errorStackBytes } = LIMITS;
    expect(headerBytes + errorMessageBytes + errorStackBytes).toBeLessThan(32_768);
  });

  it('put messages off by 1 s, 5 s, 25 s, 125 s, 600 s, 1 h', () => {
    expect(DEFERRAL_LEVELS_MS).toEqual([1_000, 5_000, 25_000, 125_000, 600_000, 3_600_000]);
  });

  it('allow the default policies: nothing is held for too long', () => {
    const { concurrency, handlerTimeoutMs } = DEFAULTS;
    expect(Math.ceil((2 * concurrency) / concurrency) * handlerTimeoutMs).toBeLessThan(LIMITS.holdMs);
  });

  it.each<[string, object]>([
    ['LIMITS', LIMITS],
    ['DEFAULTS', DEFAULTS],
    ['the default delays', DEFAULTS.retryDelaysMs],
    ['DEFERRAL_LEVELS_MS', DEFERRAL_LEVELS_MS],
  ])('%s: nobody can change them', (_, each) => {
    expect(Object.isFrozen(each)).toBe(true);
  });
});
