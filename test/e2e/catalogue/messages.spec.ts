import { randomUUID } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import { defineEvent, type StandardSchema, ValidationError } from '../../../lib/index.js';
import { Log } from '../../../lib/testing/contract/log.js';
import { until } from '../../../lib/testing/contract/until.js';
import { onBus, PLACES, type Stand } from '../../support/catalogue.js';

/*
 * The catalogue tests two classes of messages, with equality, conversion to a dictionary and checks in their constructors. Here an
 * event is its payload, as plain data, and its checks are those of a schema; so the same is asked of what arrives.
 * 0030, the texts of `str()` and `repr()`, has no counterpart: plain data is shown by whoever shows it. 0025 is with x-rtopic.
 */

/** What arrives of each payload, in order. */
async function transported({ bus, listen }: Stand, ...payloads: readonly unknown[]): Promise<readonly unknown[]> {
  const seen = await listen('messages');
  for (const payload of payloads) await bus.publish('messages', payload);
  return seen.settle(payloads.length);
}

describe.each(PLACES)('catalogue on %s: payloads', (_, url) => {
  const on = (body: (stand: Stand) => Promise<void>) => onBus(url, 'topic', body);

  it(
    '0024 a message arrives with its content',
    on(async (stand) => {
      const message = { content: 'Hello', headers: { uuid: 'u1' } };
      expect(await transported(stand, message)).toEqual([message]);
    }),
  );

  it(
    '0026 equal messages are equal where they arrive, and each event has an id of its own',
    on(async ({ bus }) => {
      const ids = new Log<string>('ids');
      const payloads = new Log<unknown>('payloads');
      await bus.subscribe('messages', (payload, { message }) => {
        payloads.add(payload);
        ids.add(message.id);
      });
      const receipts = [
        await bus.publish('messages', { content: 'same', headers: { a: 1 } }),
        await bus.publish('messages', { content: 'same', headers: { a: 1 } }),
      ];
      const [one, two] = await payloads.settle(2);
      expect(one).toStrictEqual(two);
      expect(ids.items).toEqual(receipts.map(({ id }) => id));
      expect(new Set(ids.items).size).toBe(2);
    }),
  );

  it(
    '0027 content of every kind arrives as it was, and is nobody else’s',
    on(async (stand) => {
      const messages = [
        { content: '', headers: {} },
        { content: 'nested', headers: { a: { b: [1, { c: null }], d: true } } },
        { content: 'Grüße 你好 مرحبا 🎉👩‍👩‍👧', headers: { ключ: 'значение' } },
        { content: 'tab\t newline\n zero\u0000 bell\u0007 quote" backslash\\ \u2028', headers: {} },
      ];
      const kept = structuredClone(messages);
      const greedy = new Log<unknown>('changed');
      await stand.bus.subscribe('messages', (payload) => {
        (payload as { headers: Record<string, unknown> }).headers.mine = true;
        greedy.add(payload);
      });
      expect(await transported(stand, ...messages)).toEqual(kept);
      await greedy.settle(messages.length);
      expect(messages).toEqual(kept);
    }),
  );

  it(
    '0028 different messages stay different',
    on(async (stand) => {
      const base = { content: 'x', headers: { a: 1, b: { c: 2 } } };
      const others = [
        { ...base, content: 'y' },
        { ...base, content: 'X' },
        { ...base, content: '' },
        { ...base, content: 'x ' },
        { ...base, headers: { a: 2, b: { c: 2 } } },
        { ...base, headers: { a: '1', b: { c: 2 } } },
        { ...base, headers: { a: 1 } },
        { ...base, headers: { a: 1, b: { c: 2 }, d: 3 } },
        { ...base, headers: { a: 1, b: { c: 3 } } },
        { ...base, headers: {} },
      ];
      const [arrived, ...rest] = await transported(stand, base, ...others);
      expect(rest).toHaveLength(10);
      for (const [i, other] of rest.entries()) {
        expect(other).toStrictEqual(others[i]);
        expect(other).not.toEqual(arrived);
      }
    }),
  );

  it(
    '0029 an event without anything has an id, and nothing that nobody gave it',
    on(async ({ bus }) => {
      const seen = new Log<unknown>('events');
      await bus.subscribe('messages', (payload, { message, headers }) => {
        expect(message.id).toMatch(/^[0-9a-f]{8}-[0-9a-f-]{27}$/);
        seen.add([payload, { ...headers }, message.id]);
      });
      const one = await bus.publish('messages', {});
      const two = await bus.publish('messages', undefined);
      expect(await seen.settle(2)).toEqual([
        [{}, {}, one.id],
        [null, {}, two.id],
      ]);
      expect(one.id).not.toBe(two.id);
    }),
  );
});

interface Control {
  readonly kind: string | null;
  readonly roles: readonly string[] | null;
  readonly instance_id: string | null;
  readonly ts: number | null;
}

const isText = (value: unknown): value is string => typeof value === 'string';
const WANTED: Readonly<Record<keyof Control, readonly [what: string, fits: (value: unknown) => boolean]>> = {
  kind: ['a string', isText],
  roles: ['a list of strings', (value) => Array.isArray(value) && value.every(isText)],
  instance_id: ['a string', isText],
  ts: ['a number', (value) => typeof value === 'number'],
};

const CONTROL: StandardSchema<Control> = {
  '~standard': {
    version: 1,
    vendor: 'test',
    validate: (value) => {
      const defaults = { kind: '', roles: [], instance_id: randomUUID(), ts: Date.now() / 1_000 };
      const { kind, roles, instance_id, ts } = { ...defaults, ...(value as Partial<Control>) };
      const control: Control = { kind, roles, instance_id, ts };
      const issues = Object.entries(WANTED)
        .filter(([name, [, fits]]) => control[name as keyof Control] !== null && !fits(control[name as keyof Control]))
        .map(([name, [what]]) => ({ message: `must be ${what} or null`, path: [name] }));
      return issues.length > 0 ? { issues } : { value: control };
    },
  },
};

const Ready = defineEvent<Control>('control.ready', { schema: CONTROL });
const full: Control = { kind: 'ready', roles: ['worker', 'api'], instance_id: 'i1', ts: 1_700_000_000.25 };

/** What a subscriber to the event gets. Publishers without its definition are not checked, so each group checks for itself. */
async function received({ bus }: Stand, ...payloads: readonly unknown[]): Promise<readonly unknown[]> {
  const seen = new Log<unknown>('control messages');
  await bus.subscribe(Ready, (payload) => seen.add(payload));
  for (const payload of payloads) await bus.publish(Ready.topic, payload);
  return seen.settle(payloads.length);
}

describe.each(PLACES)('catalogue on %s: checked payloads', (_, url) => {
  const on = (body: (stand: Stand) => Promise<void>) => onBus(url, 'topic', body);

  it(
    '0031 what is missing gets its default, null stays, and what is unknown goes',
    on(async (stand) => {
      const nothing: Control = { kind: null, roles: null, instance_id: null, ts: null };
      const filled = { instance_id: expect.any(String), ts: expect.any(Number) };
      const got = await received(stand, full, { kind: 'ready' }, {}, { ...full, more: 1 }, nothing);
      expect(got).toStrictEqual([
        full,
        { kind: 'ready', roles: [], ...filled },
        { kind: '', roles: [], ...filled },
        full,
        nothing,
      ]);
      expect((got[1] as Control).instance_id).not.toBe((got[2] as Control).instance_id);
    }),
  );

  const wrong: readonly (readonly [id: string, payload: unknown, text: string])[] = [
    ['0032 roles that are no list', { ...full, roles: 'worker' }, 'roles: must be a list of strings or null'],
    ['0033 a kind that is no string', { ...full, kind: 1 }, 'kind: must be a string or null'],
    ['0034 an instance that is no string', { ...full, instance_id: 1 }, 'instance_id: must be a string or null'],
    ['0035 a time that is no number', { ...full, ts: 'now' }, 'ts: must be a number or null'],
  ];
  for (const [name, payload, text] of wrong) {
    it(
      `${name}: refused where it is published, and buried where it comes from a stranger`,
      on(async (stand) => {
        const { bus, lab, deadLetters } = stand;
        const group = lab.willRemoveGroup(`${lab.name}.control`);
        const seen = new Log<unknown>('control messages');
        await bus.subscribe(Ready, (control) => seen.add(control), { group });
        const publishing = bus.publish(Ready, payload as Control);
        await expect(publishing).rejects.toThrow(ValidationError);
        await expect(publishing).rejects.toMatchObject({ issues: [text] });
        await bus.publish(Ready.topic, payload);
        await until('it is buried', async () => (await deadLetters.count(group)) === 1);
        expect(await deadLetters.list(group)).toMatchObject([{ reason: 'validation', attempts: 1 }]);
        expect(seen.items).toEqual([]);
      }),
    );
  }

  it(
    '0036 times of every size arrive as they were',
    on(async (stand) => {
      const times = [0, -1.5, 4_102_444_800, 1_700_000_000.123456, 1_700_000_000, 1e-9, null];
      const got = await received(stand, ...times.map((ts) => ({ ...full, ts })));
      expect(got.map((control) => (control as Control).ts)).toEqual(times);
    }),
  );
});
