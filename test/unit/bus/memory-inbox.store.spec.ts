import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { MemoryInboxStore } from '../../../lib/bus/memory-inbox.store.js';
import { problemsOf } from '../support/caught.js';

function setUp(maxEntries?: number) {
  const clock = { now: 0 };
  const store = new MemoryInboxStore({ ...(maxEntries !== undefined && { maxEntries }), now: () => clock.now });
  const claim = (id: string, owner = 'a', group = 'mail') => store.claim(group, id, 100, owner);
  const handle = async (id: string, group = 'mail', windowMs = 1_000): Promise<void> => {
    await store.claim(group, id, 100, 'a');
    await store.done(group, id, windowMs);
  };
  return { clock, store, claim, handle };
}

describe('MemoryInboxStore', () => {
  it('gives a message to the first who claims it, and nobody else while the lease lasts', async () => {
    const { clock, claim } = setUp();
    expect(await claim('1')).toBe('new');
    expect(await claim('1', 'b')).toBe('busy');
    expect(await claim('1', 'a')).toBe('busy');
    clock.now = 100;
    expect(await claim('1', 'b')).toBe('busy');
    clock.now = 101;
    expect(await claim('1', 'b')).toBe('new');
    expect(await claim('1', 'a')).toBe('busy');
  });

  it('knows other messages, and other groups, apart', async () => {
    const { claim, handle } = setUp();
    await handle('1');
    expect(await claim('2')).toBe('new');
    expect(await claim('1', 'a', 'audit')).toBe('new');
    expect(await claim('1')).toBe('done');
  });

  it('F44 a duplicate inside, at and after the window has 1, 1 and 2 effects', async () => {
    for (const [ms, effects] of [
      [999, 1],
      [1_000, 1],
      [1_001, 2],
    ] as const) {
      const { clock, claim, handle } = setUp();
      await handle('1');
      clock.now = ms;
      expect([ms, (await claim('1')) === 'new' ? 2 : 1]).toEqual([ms, effects]);
    }
  });

  it('lets what failed run again, but only when its owner says so', async () => {
    const { store, claim } = setUp();
    await claim('1', 'a');
    await store.forget('mail', '1', 'b');
    expect(await claim('1', 'b')).toBe('busy');
    await store.forget('mail', '1', 'a');
    expect(await claim('1', 'b')).toBe('new');
    await store.forget('mail', '1', 'a');
    expect(await claim('1', 'c')).toBe('busy');
  });

  it('is told that it is done by whoever has done it: also by one whose lease is over', async () => {
    const { clock, store, claim } = setUp();
    await claim('1', 'a');
    clock.now = 101;
    await claim('1', 'b');
    await store.done('mail', '1', 1_000);
    expect(await claim('1', 'c')).toBe('done');
    await store.forget('mail', '1', 'b'); // b fails after a has succeeded
    expect(await claim('1', 'c')).toBe('done');
  });

  it('begins a new window when it is done again', async () => {
    const { clock, claim, handle, store } = setUp();
    await handle('1');
    clock.now = 900;
    await store.done('mail', '1', 1_000);
    clock.now = 1_900;
    expect(await claim('1')).toBe('done');
  });

  it('forgets what would be forgotten first when there are too many, in whatever group', async () => {
    const { clock, claim, handle } = setUp(3);
    await handle('1', 'billing', 5_000);
    await handle('2', 'audit', 1_000);
    clock.now = 1;
    await handle('3');
    await handle('4');
    expect(await claim('2', 'b', 'audit')).toBe('new');
    for (const id of ['3', '4']) expect(await claim(id, 'b')).toBe('done');
    await handle('5');
    expect(await claim('3', 'b')).toBe('new');
    for (const id of ['4', '5']) expect(await claim(id, 'b')).toBe('done');
    expect(await claim('1', 'b', 'billing')).toBe('done');
  });

  it('tells the same message of two groups apart when it forgets', async () => {
    const { clock, claim, handle, store } = setUp(2);
    await handle('1', 'audit', 1_000);
    clock.now = 1;
    await handle('1', 'mail', 1_000);
    await handle('2', 'mail', 1_000);
    expect(store.size).toBe(2);
    expect(await claim('1', 'b', 'audit')).toBe('new');
    expect(await claim('1', 'b', 'mail')).toBe('done');
  });

  it('drops what is over when its group is asked again', async () => {
    const { clock, claim, handle, store } = setUp();
    for (const id of ['1', '2', '3']) await handle(id);
    expect(store.size).toBe(3);
    clock.now = 1_000;
    await claim('4');
    expect(store.size).toBe(3);
    clock.now = 1_001;
    await claim('4');
    expect(store.size).toBe(0);
  });

  it('knows what is over also behind what lasts longer', async () => {
    const { clock, claim, handle } = setUp();
    await handle('1', 'mail', 1_000);
    await handle('2', 'mail', 10);
    clock.now = 11;
    expect(await claim('1')).toBe('done');
    expect(await claim('2')).toBe('new');
  });

  it('forgets nothing for what is over anyway', async () => {
    const { clock, claim, handle } = setUp(2);
    await handle('1', 'mail', 5_000);
    await handle('2', 'audit', 10);
    clock.now = 11;
    await handle('3');
    expect(await claim('1', 'b')).toBe('done');
    expect(await claim('3', 'b')).toBe('done');
  });

  it('never forgets a claim for want of room: two would handle it', async () => {
    const { claim, handle } = setUp(1);
    await claim('1');
    for (const id of ['2', '3']) await handle(id);
    expect(await claim('1', 'b')).toBe('busy');
  });

  it.each([0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY])('refuses to hold %d entries', (maxEntries) => {
    expect(problemsOf(() => new MemoryInboxStore({ maxEntries }))).toEqual([expect.stringContaining('maxEntries')]);
  });

  it('by default has a clock that runs', async () => {
    const store = new MemoryInboxStore();
    expect(await store.claim('mail', '1', 0, 'a')).toBe('new');
    const begin = performance.now();
    while (performance.now() - begin < 2);
    expect(await store.claim('mail', '1', 0, 'b')).toBe('new');
  });

  it('answers as a plain list of what was claimed and done would', async () => {
    const step = fc.record({
      what: fc.constantFrom('claim', 'done', 'forget', 'wait'),
      group: fc.constantFrom('mail', 'audit'),
      id: fc.constantFrom('1', '2', '3'),
      owner: fc.constantFrom('a', 'b'),
      ms: fc.integer({ min: 0, max: 60 }),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
        const { clock, store } = setUp(); // room for all
        const claims = new Map<string, { owner: string; until: number }>();
        const done = new Map<string, number>();
        const answers: (readonly [answer: string, expected: string])[] = [];
        for (const { what, group, id, owner, ms } of steps) {
          const key = `${group}/${id}`;
          if (what === 'wait') clock.now += ms;
          else if (what === 'done') {
            await store.done(group, id, ms);
            done.set(key, clock.now + ms);
            claims.delete(key);
          } else if (what === 'forget') {
            await store.forget(group, id, owner);
            if (claims.get(key)?.owner === owner) claims.delete(key);
          } else {
            const isDone = (done.get(key) ?? -1) >= clock.now;
            const isBusy = (claims.get(key)?.until ?? -1) >= clock.now;
            const expected = isDone ? 'done' : isBusy ? 'busy' : 'new';
            answers.push([await store.claim(group, id, ms, owner), expected]);
            if (expected === 'new') claims.set(key, { owner, until: clock.now + ms });
          }
        }
        expect(answers.map(([answer]) => answer)).toEqual(answers.map(([, expected]) => expected));
      }),
    );
  });
});
