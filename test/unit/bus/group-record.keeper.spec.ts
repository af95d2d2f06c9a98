import { describe, expect, it, jest } from '@jest/globals';
import { GroupRecordKeeper } from '../../../lib/bus/group-record.keeper.js';
import type { KeptGroup, PresentGroup, RecordedBinding } from '../../../lib/core/group-record.js';
import { withFakeTimers } from '../support/fake-timers.js';
import { RecordingLogger } from '../support/recording.logger.js';

const on = (exchange: string, ...patterns: readonly string[]): readonly RecordedBinding[] =>
  patterns.map((pattern) => ({ exchange, pattern }));

const MAIL: PresentGroup = {
  name: 'mail',
  exchange: 'ns.events',
  bindings: on('ns.events', 'a.*'),
  delaysMs: [1],
  unbind: [],
};

const kept = (over: Partial<KeptGroup> = {}): KeptGroup => ({
  name: 'mail',
  bindings: on('ns.events', 'a.*'),
  delaysMs: [1],
  seenAt: 7,
  queue: { messages: 3, consumers: 0 },
  ...over,
});

function setUp(...answers: readonly (readonly KeptGroup[] | Error)[]) {
  const logger = new RecordingLogger();
  const calls: [string, readonly PresentGroup[]][] = [];
  const keeper = new GroupRecordKeeper({
    record: {
      keep: async (key, present) => {
        calls.push([key, present]);
        const looks = calls.filter(([name]) => name === key).length;
        const answer = answers[Math.min(looks, answers.length) - 1] ?? [];
        if (answer instanceof Error) throw answer;
        return answer;
      },
    },
    key: 'events.groups.shop',
    present: [MAIL],
    namespace: 'ns',
    previous: ['post'],
    unhandled: ['events.unroutable'],
    unbind: async () => void calls.push(['unbind', []]),
    logger,
  });
  return { keeper, logger, calls };
}

describe('GroupRecordKeeper', () => {
  withFakeTimers();

  it('writes its groups down at once, a minute later, and then every ten minutes, until it is stopped', async () => {
    const { keeper, calls } = setUp([]);
    const names = (): readonly string[] => calls.map(([name]) => name);
    const run = keeper.run();
    expect(calls).toEqual([['events.groups.shop', [MAIL]]]);
    await jest.advanceTimersByTimeAsync(59_999);
    expect(calls).toHaveLength(1);
    await jest.advanceTimersByTimeAsync(1);
    // what the version before may have bound meanwhile is unbound first
    expect(names()).toEqual(['events.groups.shop', 'unbind', 'events.groups.shop']);
    await jest.advanceTimersByTimeAsync(599_999);
    expect(calls).toHaveLength(3);
    await jest.advanceTimersByTimeAsync(1);
    expect(calls).toHaveLength(5);
    keeper.stop();
    await run;
    await jest.advanceTimersByTimeAsync(1_000_000);
    expect(calls).toHaveLength(5);
    expect(jest.getTimerCount()).toBe(0);
  });

  it('tells once of a group that nobody has or consumes any more', async () => {
    const { keeper, logger } = setUp([
      kept(),
      kept({ name: 'gone' }),
      kept({ name: 'of another version', queue: { messages: 3, consumers: 1 } }),
      kept({ name: 'post' }),
      kept({ name: 'events.unroutable' }),
    ]);
    void keeper.run();
    await jest.advanceTimersByTimeAsync(700_000);
    expect(keeper.vanished).toEqual([{ group: 'gone', messages: 3, seenAt: 7 }]);
    expect(keeper.stale).toEqual([]);
    expect(logger.lines).toEqual([
      expect.stringMatching(/^warn: Group "gone" is not handled.* \(3 wait\).*renamedFrom/),
    ]);
    keeper.stop();
  });

  it('tells once of a pattern that a group may still be bound to', async () => {
    const { keeper, logger } = setUp([
      kept({ bindings: on('ns.events', 'b.*', 'a.*') }),
      kept({ name: 'gone', bindings: on('ns.events', 'x') }),
    ]);
    void keeper.run();
    await jest.advanceTimersByTimeAsync(700_000);
    expect(keeper.stale).toEqual([{ group: 'mail', pattern: 'b.*' }]);
    expect(logger.lines).toHaveLength(2);
    expect(logger.lines[1]).toBe(
      `warn: Group "mail" may still be bound to "b.*", which none of its handlers asks for. Say unbind: 'b.*'.`,
    );
    keeper.stop();
  });

  it('tells of a pattern on an exchange that a group has left, by the name that unbind takes', async () => {
    const { keeper, logger } = setUp([kept({ bindings: [...on('ns.audit', 'a.*'), ...on('nsx', 'a.*')] })]);
    void keeper.run();
    await jest.advanceTimersByTimeAsync(700_000);
    expect(keeper.stale).toEqual([
      { group: 'mail', pattern: 'a.*', exchange: 'audit' },
      { group: 'mail', pattern: 'a.*', exchange: 'nsx' },
    ]);
    expect(logger.lines).toContain(
      `warn: Group "mail" may still be bound to "a.*" on exchange "audit", which none of its handlers asks for. Say unbind: { exchange: 'audit', pattern: 'a.*' }.`,
    );
    keeper.stop();
  });

  it('says once that it cannot keep the record, keeps what it knew, and tries again', async () => {
    const { keeper, logger, calls } = setUp(
      [kept({ name: 'gone' })],
      new Error('no broker'),
      new Error('no broker'),
      [],
    );
    void keeper.run();
    // a minute after the first, then five seconds after each that has failed
    await jest.advanceTimersByTimeAsync(70_000);
    expect(calls.filter(([name]) => name !== 'unbind')).toHaveLength(4);
    expect(keeper.vanished).toEqual([]);
    expect(logger.lines.slice(1)).toEqual([
      `warn: The record of this service's groups could not be kept: Error: no broker`,
    ]);
    keeper.stop();
  });

  it('is silent when it fails after it was stopped', async () => {
    const { keeper, logger } = setUp(new Error('closed'));
    const run = keeper.run();
    keeper.stop();
    await run;
    expect(logger.lines).toEqual([]);
  });
});
