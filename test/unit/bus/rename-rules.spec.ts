import { describe, expect, it } from '@jest/globals';
import type { GroupDefinition } from '../../../lib/bus/group-definition.js';
import { checkRenames } from '../../../lib/bus/rename-rules.js';
import { aRegistration } from '../support/handlers.js';

function group(name: string, over: Partial<GroupDefinition> = {}): GroupDefinition {
  const handlers = [aRegistration({ group: name, place: `${name}.on`, pattern: 'a.*' })];
  return { name, delivery: 'shared', handlers, policy: {} as never, ...over };
}

function check(groups: readonly GroupDefinition[], usesHeaders = false): readonly string[] {
  const problems: string[] = [];
  const surroundings = { main: 'events', usesHeaders: () => usesHeaders, readers: new Map(), namespace: 'ns' };
  checkRenames(groups, surroundings, problems);
  return problems;
}

describe('checkRenames', () => {
  it('allows several old names, and patterns that are not asked for any more', () => {
    expect(
      check([group('a', { renamedFrom: ['x', 'y'], unbind: ['b.*'] }), group('b', { renamedFrom: ['z'] })]),
    ).toEqual([]);
    expect(check([group('a')], true)).toEqual([]);
  });

  it('refuses an old name that is a group still, its own included', () => {
    expect(check([group('a', { renamedFrom: ['b'] }), group('b')])).toEqual([
      'a.on: renamedFrom names "b", which is a group of this application: leave one of them out.',
    ]);
    expect(check([group('a', { renamedFrom: ['a'] })])).toHaveLength(1);
  });

  it('refuses two heirs of one group', () => {
    expect(check([group('a', { renamedFrom: ['x'] }), group('b', { renamedFrom: ['x'] })])).toEqual([
      'b.on: renamedFrom names "x", which a.on takes over already.',
    ]);
  });

  it('refuses to unbind what is asked for', () => {
    expect(check([group('a', { unbind: ['a.*', 'b.*'] })])).toEqual([
      'a.on: unbind names "a.*", which the group asks for.',
    ]);
  });

  it('asks that of each exchange apart', () => {
    const unbind = [{ exchange: 'events', pattern: 'a.*' }];
    expect(check([group('a', { unbind, exchange: 'audit' })])).toEqual([]);
    expect(check([group('a', { unbind: ['a.*'], exchange: 'audit' })])).toHaveLength(1);
    const text = 'a.on: unbind names "a.*", which the group asks for.';
    expect(check([group('a', { unbind })])).toEqual([text]);
    expect(check([group('a', { unbind, exchange: 'events' })])).toEqual([text]);
  });

  it('refuses names of exchanges that no broker has', () => {
    const on = (exchange: string) => check([group('a', { unbind: [{ exchange, pattern: 'b' }] })]);
    expect(on('e'.repeat(252))).toEqual([]);
    expect(on('e'.repeat(253))).toEqual([
      'a.on: unbind names an exchange of more than 255 bytes, which no broker has.',
    ]);
  });

  it('refuses to unbind what no broker can be asked for', () => {
    expect(check([group('a', { unbind: ['b'.repeat(255)] })])).toEqual([]);
    expect(check([group('a', { unbind: ['b'.repeat(256)] })])).toEqual([
      'a.on: unbind has a pattern of more than 255 bytes, which nothing can be bound to.',
    ]);
  });

  it('refuses to unbind where bindings are made by hand', () => {
    const text = 'a.on: unbind does nothing where the bindings are made by hand (rabbitmq.assert, rabbitmq.bind).';
    const unbind = ['b.*'];
    expect(check([group('a', { unbind, declare: 'check' })])).toEqual([text]);
    expect(check([group('a', { unbind, declare: 'skip' })])).toEqual([text]);
    expect(check([group('a', { unbind, queue: { bind: false } })])).toEqual([text]);
    expect(check([group('a', { unbind, declare: 'check', queue: { bind: true } })])).toEqual([]);
    expect(check([group('a', { unbind, declare: 'assert', queue: { name: 'q' } })])).toEqual([]);
  });

  it('refuses both for a broadcast handler, and patterns where headers route', () => {
    const text = 'a.on: renamedFrom and unbind are for queues that last; a broadcast handler has none.';
    expect(check([group('a', { delivery: 'broadcast', renamedFrom: ['x'] })])).toEqual([text]);
    expect(check([group('a', { delivery: 'broadcast', unbind: ['x'] })])).toEqual([text]);
    expect(check([group('a', { unbind: ['x'] })], true)).toEqual([
      'a.on: unbind takes patterns, and exchange "events" routes by headers. Remove the binding by hand.',
    ]);
  });
});
