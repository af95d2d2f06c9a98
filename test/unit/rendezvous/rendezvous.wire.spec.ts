import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { readReady, readTs, writeReady } from '../../../lib/rendezvous/rendezvous.wire.js';

const NOW = 1_700_000_000_123;
const GOOD = { kind: 'ready', roles: ['worker'], instance_id: 'a'.repeat(32), ts: 1.5 };

describe('an announcement on the wire', () => {
  it('arrives as it was sent, and is what other clients write, with more', () => {
    const member = { instanceId: 'me', service: 'shop', roles: ['worker', 'db'], since: NOW };
    const body = JSON.parse(JSON.stringify(writeReady(member, 15_000, NOW + 5)));
    expect(body).toEqual({
      roles: ['worker', 'db'],
      instance_id: 'me',
      ts: 1_700_000_000.128,
      service: 'shop',
      since: 1_700_000_000.123,
      lease_ms: 15_000,
    });
    expect(readReady(body, undefined, 0)).toEqual({ member, leaseMs: 15_000, isSinceTold: true });
    expect(readTs(body)).toBe(NOW + 5);
  });

  it('of another client has no lease, and counts for an hour', () => {
    expect(readReady(GOOD, 'python', NOW)).toEqual({
      member: { instanceId: 'a'.repeat(32), service: 'python', roles: ['worker'], since: NOW },
      leaseMs: 3_600_000,
      isSinceTold: false,
    });
  });

  it.each([
    [{ instance_id: '' }],
    [{ instance_id: 7 }],
    [{ instance_id: null }],
    [{ instance_id: 'x'.repeat(129) }],
    [{ roles: undefined }],
    [{ roles: 'worker' }],
    [{ roles: { length: 1, 0: 'worker' } }],
    [{ roles: [''] }],
    [{ roles: ['worker', 1] }],
    [{ roles: ['x'.repeat(129)] }],
    [{ roles: Array.from({ length: 65 }, () => 'same') }],
  ])('is none: %j', (over) => {
    expect(readReady({ ...GOOD, ...over }, undefined, NOW)).toBeUndefined();
  });

  it.each([
    [{ lease_ms: -1 }, { leaseMs: 1_000 }],
    [{ lease_ms: 0 }, { leaseMs: 1_000 }],
    [{ lease_ms: 1e300 }, { leaseMs: 3_600_000 }],
    [{ lease_ms: '5000' }, { leaseMs: 3_600_000 }],
    [{ service: 7 }, { member: { service: '' } }],
    [{ service: 'x'.repeat(129) }, { member: { service: '' } }],
    [{ since: -1 }, { member: { since: NOW } }],
    [{ since: 1e300 }, { member: { since: NOW } }],
    [{ since: 'now' }, { member: { since: NOW } }],
    [{ roles: ['a', 'a', 'b'] }, { member: { roles: ['a', 'b'] } }],
    [{ roles: [] }, { member: { roles: [] } }],
  ])('is brought within bounds: %j', (over, expected) => {
    expect(readReady({ ...GOOD, ...over }, undefined, NOW)).toMatchObject(expected);
  });

  it('never throws, whatever was sent, and gives nothing that is out of bounds', () => {
    const any = fc.record(
      {
        roles: fc.anything(),
        instance_id: fc.anything(),
        since: fc.anything(),
        lease_ms: fc.anything(),
        service: fc.anything(),
      },
      { requiredKeys: [] },
    );
    fc.assert(
      fc.property(any, (body) => {
        const ready = readReady(body, undefined, NOW);
        const isBounded =
          ready === undefined ||
          (ready.leaseMs >= 1_000 && ready.leaseMs <= 3_600_000 && Number.isFinite(ready.member.since));
        expect(isBounded).toBe(true);
      }),
    );
  });
});
