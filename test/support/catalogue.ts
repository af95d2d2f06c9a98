import type { DeadLetterService, EventBusService, SubscribeOptions } from '../../lib/index.js';
import { Log } from '../../lib/testing/contract/log.js';
import { isReachable, RABBITMQ } from './brokers.js';
import { type Lab, withLab } from './lab.js';

/** What a case has: a bus on an exchange of the type that it asks for. */
export interface Stand {
  readonly lab: Lab;
  readonly bus: EventBusService;
  readonly deadLetters: DeadLetterService;
  /** The payloads that come to a subscriber of its own. */
  readonly listen: (pattern: string, options?: SubscribeOptions) => Promise<Log<unknown>>;
  /** Publishes each topic, in order, with itself as payload. */
  readonly publish: (...topics: readonly string[]) => Promise<void>;
}

/** The transports that are there. */
export const PLACES: readonly (readonly [name: string, url: string])[] = [
  ['memory', 'memory:'],
  ...((await isReachable(RABBITMQ)) ? [['RabbitMQ', RABBITMQ.url] as const] : []),
];

/** A case with a bus of its own, on an exchange of this type. */
export function onBus(url: string, type: string, body: (stand: Stand) => Promise<void>): () => Promise<void> {
  return withLab(url, async (lab) => {
    const { bus, deadLetters } = await lab.boot({ options: { exchange: { name: lab.exchange, type } } });
    await body({
      lab,
      bus,
      deadLetters,
      listen: async (pattern, options) => {
        const seen = new Log<unknown>(`events of "${pattern}"`);
        await bus.subscribe(pattern, (payload) => seen.add(payload), options ?? {});
        return seen;
      },
      publish: async (...topics) => {
        for (const topic of topics) await bus.publish(topic, topic, { unroutable: 'ignore' });
      },
    });
  });
}

/** Waits until each has as many as it should, and then shows that no more come. */
export async function settleAll(
  expected: readonly (readonly [Log<unknown>, readonly unknown[] | number])[],
): Promise<void> {
  for (const [log, given] of expected) await log.reach(typeof given === 'number' ? given : given.length);
  await Promise.all(expected.map(([log, given]) => log.settle(typeof given === 'number' ? given : given.length)));
}
