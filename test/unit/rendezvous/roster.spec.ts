import { describe, expect, it, jest } from '@jest/globals';
import type { Member } from '../../../lib/rendezvous/member.js';
import { Roster } from '../../../lib/rendezvous/roster.js';
import { withFakeTimers } from '../support/fake-timers.js';

const member = (instanceId: string, over: Partial<Member> = {}): Member => ({
  instanceId,
  service: 'shop',
  roles: ['worker'],
  since: 1,
  ...over,
});

function aRoster() {
  const changes: string[] = [];
  const roster = new Roster((kind, before, after) => changes.push(`${kind} ${(after ?? before)?.instanceId}`));
  return { roster, changes };
}

describe('the roster', () => {
  withFakeTimers();

  it('tells of who joins, changes and leaves, not of who says the same again', () => {
    const { roster, changes } = aRoster();
    expect(roster.take(member('a'), 1_000)).toBe('joined');
    expect(roster.take(member('a'), 1_000)).toBe('renewed');
    expect(roster.take(member('a', { roles: ['worker', 'db'] }), 1_000)).toBe('changed');
    expect(roster.take(member('a', { roles: ['db', 'worker'] }), 1_000)).toBe('changed');
    expect(roster.take(member('a', { roles: ['db', 'worker'], since: 2 }), 1_000)).toBe('changed');
    roster.drop('a');
    roster.drop('a');
    roster.drop('nobody');
    expect(changes).toEqual(['joined a', 'changed a', 'changed a', 'changed a', 'left a']);
    expect(roster.members).toEqual([]);
  });

  it('forgets each when its own lease has ended, with one timer for all', () => {
    const { roster, changes } = aRoster();
    roster.take(member('long'), 5_000);
    roster.take(member('short'), 1_000);
    roster.take(member('self'), Number.POSITIVE_INFINITY);
    expect(jest.getTimerCount()).toBe(1);
    jest.advanceTimersByTime(999);
    roster.take(member('short'), 1_000);
    jest.advanceTimersByTime(999);
    expect(changes.slice(3)).toEqual([]);
    jest.advanceTimersByTime(2);
    expect(changes.slice(3)).toEqual(['expired short']);
    jest.advanceTimersByTime(60_000);
    expect(changes.slice(4)).toEqual(['expired long']);
    expect(roster.members.map(({ instanceId }) => instanceId)).toEqual(['self']);
    expect(jest.getTimerCount()).toBe(0);
  });

  it('holds so many and no more, and takes others when there is room', () => {
    const { roster, changes } = aRoster();
    for (let n = 0; n < 10_000; n++) roster.take(member(`m${n}`), 1_000 + n);
    expect(roster.take(member('late'), 1_000)).toBe('full');
    expect(roster.take(member('m1', { roles: ['x'] }), 1_000)).toBe('changed');
    expect([roster.members.length, jest.getTimerCount()]).toEqual([10_000, 1]);
    expect(roster.take(member('self'), Number.POSITIVE_INFINITY)).toBe('joined');
    roster.drop('self');
    roster.drop('m0');
    expect(roster.take(member('late'), 1_000)).toBe('joined');
    changes.length = 0;
    roster.clear();
    expect([roster.members, changes, jest.getTimerCount()]).toEqual([[], [], 0]);
  });
});
