import { describe, expect, it } from '@jest/globals';
import { Gate } from '../../../lib/core/gate.js';
import { settled } from '../support/deferred.js';

function arrive(gate: Gate): string[] {
  const log: string[] = [];
  gate.pass().then(
    () => log.push('passed'),
    (error: unknown) => log.push(String(error)),
  );
  return log;
}

describe('Gate', () => {
  it('opens when all have come', async () => {
    const gate = new Gate(2);
    const first = arrive(gate);
    await settled();
    expect(first).toEqual([]);
    const second = arrive(gate);
    await settled();
    expect([first, second]).toEqual([['passed'], ['passed']]);
    gate.fail(new Error('late'));
    await settled();
    expect(first).toEqual(['passed']);
  });

  it('stays closed when one does not come, for those that have come and for those that do later', async () => {
    const gate = new Gate(3);
    const first = arrive(gate);
    gate.fail(new RangeError('no'));
    const second = arrive(gate);
    await settled();
    expect([first, second]).toEqual([['RangeError: no'], ['RangeError: no']]);
  });

  it('is no unhandled rejection when nobody has come', async () => {
    const gate = new Gate(1);
    gate.fail(new Error('no'));
    await settled(); // a rejection that nobody handles would end the process by now
    expect(arrive(gate)).toEqual([]);
  });
});
