import { expect, it } from '@jest/globals';
import { Injectable } from '@nestjs/common';
import { DeadLetterError, OnEvent } from '../../lib/index.js';
import { until } from '../../lib/testing/contract/until.js';
import type { FakeBroker } from './harness/fake-broker.js';
import { withFakeBroker } from './harness/fake-broker.lab.js';

/** A queue as it is declared: its flags, and its arguments byte for byte, each with the letter of its type, by name. */
type Declared = readonly [flags: readonly string[], ...args: readonly string[]];

const FLAGS = ['passive', 'durable', 'exclusive', 'autoDelete', 'nowait'] as const;

/** Bytes of a value by the letter of its type; S is a text with a length of four bytes in front. */
const WIDTHS: Readonly<Record<string, number>> = { t: 1, b: 1, B: 1, s: 2, u: 2, I: 4, i: 4, l: 8, d: 8, T: 8 };

/** Its number, two reserved bytes, the name, an octet of flags, then a table with a length of four bytes. */
function parse(declaration: Buffer): readonly [name: string, declared: Declared] {
  const end = 7 + declaration.readUInt8(6);
  const name = declaration.toString('utf8', 7, end);
  const flags = FLAGS.filter((_, bit) => (declaration.readUInt8(end) & (1 << bit)) !== 0);
  expect(declaration.readUInt32BE(end + 1)).toBe(declaration.length - end - 5);
  return [name, [flags, ...entriesOf(declaration.subarray(end + 5))]];
}

function entriesOf(table: Buffer): readonly string[] {
  const entries: string[] = [];
  for (let at = 0; at < table.length; ) {
    const from = at + 2 + table.readUInt8(at);
    const name = table.toString('utf8', at + 1, from - 1);
    const type = table.toString('latin1', from - 1, from);
    const isText = type === 'S';
    const begin = isText ? from + 4 : from;
    at = begin + (isText ? table.readUInt32BE(from) : (WIDTHS[type] ?? Number.NaN));
    entries.push(`${name} ${type} ${table.toString(isText ? 'utf8' : 'hex', begin, at)}`);
  }
  return entries.toSorted();
}

function declaredBy(broker: FakeBroker): ReadonlyMap<string, Declared> {
  const declared = new Map<string, Declared>();
  for (const [name, queue] of broker.declarations.map(parse)) {
    if (queue[0].includes('passive')) continue; // only asks whether it is there
    // whoever declares it again declares the same
    expect(declared.get(name) ?? queue).toEqual(queue);
    declared.set(name, queue);
  }
  return declared;
}

it(
  'every queue is declared with these arguments, byte for byte: one that changes is a 406 in every deployment that has the queue',
  withFakeBroker(async ({ lab, broker }) => {
    @Injectable()
    class Orders {
      @OnEvent('orders.*', { group: 'g', retry: { delaysMs: [1_000, 600_000] } })
      on(payload: unknown): void {
        if (payload === 'dead') throw new DeadLetterError('no');
        throw new Error('again');
      }
      @OnEvent('orders.*', { delivery: 'broadcast' })
      onEach(): void {
        // only its queue matters
      }
    }
    const options = { publish: { unroutable: 'alternate-exchange' } } as const;
    const { bus, deadLetters } = await lab.boot({ providers: [Orders], options });
    await Promise.all([bus.publish('orders.created', 'dead'), bus.publish('orders.created', 'again')]);
    await until('the retry queue is declared', () => declaredBy(broker).has('g.retry.1000'));
    await until('a dead letter', async () => (await deadLetters.count('g')) === 1);
    expect(await deadLetters.list('g')).toHaveLength(1);
    const record = `${lab.exchange}.groups.${lab.service}`;
    await until('its groups are written down', () => declaredBy(broker).has(record));
    const unroutable = `${lab.exchange}.unroutable`;
    const declared = [...declaredBy(broker)];
    const isPrivate = ([name]: (typeof declared)[number]): boolean => name.includes('.private.');
    for (const [, queue] of declared.filter(isPrivate)) expect(queue).toEqual([['exclusive']]);
    expect(declared.some(isPrivate)).toBe(true);
    expect(Object.fromEntries(declared.filter((queue) => !isPrivate(queue)))).toEqual({
      g: [
        ['durable'],
        'x-dead-letter-exchange S ',
        'x-dead-letter-routing-key S g.dlq',
        'x-dead-letter-strategy S at-least-once',
        'x-delivery-limit b 14',
        'x-overflow S reject-publish',
        'x-queue-type S quorum',
      ],
      'g.dlq': [['durable'], 'x-delivery-limit I 000f4240', 'x-queue-type S quorum'],
      // where what no group gets is kept: as the queue of any group
      [unroutable]: [
        ['durable'],
        'x-dead-letter-exchange S ',
        `x-dead-letter-routing-key S ${unroutable}.dlq`,
        'x-dead-letter-strategy S at-least-once',
        'x-delivery-limit b 14',
        'x-overflow S reject-publish',
        'x-queue-type S quorum',
      ],
      [`${unroutable}.dlq`]: [['durable'], 'x-delivery-limit I 000f4240', 'x-queue-type S quorum'],
      // what is written down of the service's groups, and the lock of whoever changes it
      [record]: [['durable'], 'x-queue-type S classic'],
      [`${record}.lock`]: [['exclusive', 'autoDelete']],
      // goes with the connection of the reader that it keeps others away from
      'g.dlq.reader': [['exclusive']],
      'g.retry.1000': [
        ['durable'],
        'x-dead-letter-exchange S ',
        'x-dead-letter-routing-key S g',
        'x-dead-letter-strategy S at-least-once',
        'x-message-ttl s 03e8',
        'x-overflow S reject-publish',
        'x-queue-type S quorum',
      ],
    });
  }),
);
