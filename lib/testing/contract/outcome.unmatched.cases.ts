import assert from 'node:assert/strict';
import { Injectable, type Type } from '@nestjs/common';
import type { EventContext } from '../../bus/event-context.js';
import type { Message } from '../../core/message.js';
import { fixed } from '../../core/retry-policy.js';
import { Event } from '../../decorators/event.decorator.js';
import { OnEvent } from '../../decorators/on-event.decorator.js';
import type { ContractCase } from './contract.js';
import { outcomeCase } from './contract-case.js';
import { Log } from './log.js';
import { createMessage } from './message.factory.js';
import { until } from './until.js';

const JSON_BODY = Object.freeze({ contentType: 'application/json', body: Buffer.from('1') });

/** A provider that understands one version of `order`, in the group `orders` of the service. */
function orderListener(group: string, version: number, seen: Log<string>): Type {
  @Event('order', { version })
  class Order {}
  @Injectable()
  class OrderListener {
    @OnEvent(Order, { group, retry: false })
    on(): void {
      seen.add(`v${version}`);
    }
  }
  return OrderListener;
}

/** What nobody here understands waits for somebody who does. */
export const UNMATCHED_CASES: readonly ContractCase[] = [
  outcomeCase(
    'an unknown version, type or topic: retried on a policy of its own, then dead as unmatched',
    async (bench) => {
      const group = bench.group('orders');
      const seen = new Log<string>('events');
      const unmatched = fixed({ attempts: 3, delayMs: 20 });
      const { transport, deadLetters, buried } = await bench.start({
        providers: [orderListener(group, 1, seen)],
        options: { consume: { unmatched } },
      });
      const unknown: readonly Message[] = [
        createMessage('order', { ...JSON_BODY, type: 'order', version: 2 }),
        createMessage('order', { ...JSON_BODY, type: 'somethingElse' }),
        createMessage('unbound.topic', { ...JSON_BODY, type: 'order' }),
      ];
      for (const message of unknown) {
        await transport.publish({ kind: 'group', group }, message);
        const [letter] = await buried(group);
        assert.deepEqual([letter?.id, letter?.reason, letter?.attempts], [message.id, 'unmatched', 3]);
        await deadLetters.purge(group);
      }
      assert.equal(seen.length, 0);
      await bench.publish(transport, createMessage('order', { ...JSON_BODY, type: 'order', version: 1 }));
      await seen.settle(1);
    },
  ),

  outcomeCase(
    'an unknown version is taken by a newer instance of the group (rolling deploy)',
    async (bench) => {
      const group = bench.group('orders');
      const seen = new Log<string>('events');
      const options = { consume: { unmatched: fixed({ attempts: 50, delayMs: 20 }) } };
      const old = await bench.start({ providers: [orderListener(group, 1, seen)], options });
      const newer = createMessage('order', { ...JSON_BODY, type: 'order', version: 2 });
      await bench.publish(old.transport, newer);
      await bench.start({ providers: [orderListener(group, 2, seen)], options });
      assert.deepEqual(await seen.settle(1), ['v2']);
      assert.equal(await old.deadLetters.count(group), 0);
    },
    'shared',
  ),

  outcomeCase(
    'tries of instances that do not understand an event are no attempts of the one that does',
    async (bench) => {
      const group = bench.group('orders');
      const attempts = new Log<number>('attempts');
      @Event('order', { version: 2 })
      class Order {}
      @Injectable()
      class OrderListener {
        @OnEvent(Order, { group, retry: fixed({ attempts: 2, delayMs: 20 }) })
        on(_: unknown, { attempt }: EventContext): void {
          attempts.add(attempt);
          if (attempt === 1) throw new Error('not yet');
        }
      }
      const options = { consume: { unmatched: fixed({ attempts: 50, delayMs: 20 }) } };
      const old = await bench.start({ providers: [orderListener(group, 1, new Log('events'))], options });
      await bench.publish(old.transport, createMessage('order', { ...JSON_BODY, type: 'order', version: 2 }));
      await until('it was tried in vain', () => old.statsOf(group).retried >= 5);
      await bench.start({ providers: [OrderListener], options });
      assert.deepEqual(await attempts.settle(2), [1, 2]);
      assert.equal(await old.deadLetters.count(group), 0);
    },
    'shared',
  ),
];
