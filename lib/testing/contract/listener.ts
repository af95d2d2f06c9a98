import { ACK, type Delivery, type Settlement } from '../../core/delivery.js';
import type { Message } from '../../core/message.js';
import type { Consumer, Source, Transport } from '../../core/transport.js';
import { Log } from './log.js';

/** What becomes of a delivery; nothing leaves it unsettled, for the case to settle. */
export type Reaction = (delivery: Delivery, index: number) => Settlement | undefined | Promise<Settlement | undefined>;

/** A consumer with what it was delivered. */
export interface Listener {
  readonly consumer: Consumer;
  readonly deliveries: Log<Delivery>;
  readonly messages: readonly Message[];
}

/** Consumes `source` and reacts to each delivery; without a reaction each is acknowledged. */
export async function listen(
  transport: Transport,
  source: Source,
  react: Reaction = () => ACK,
  onGap?: () => void,
): Promise<Listener> {
  const deliveries = new Log<Delivery>(`deliveries to ${source.group ?? 'a private source'}`);
  const messages: Message[] = [];
  const handle = async (delivery: Delivery, index: number): Promise<void> => {
    const outcome = await react(delivery, index);
    if (outcome) await delivery.settle(outcome);
  };
  const consumer = await transport.consume(source, {
    deliver: (delivery) => {
      messages.push(delivery.message);
      deliveries.add(delivery);
      handle(delivery, deliveries.length - 1).catch((error: unknown) => deliveries.fail(error));
    },
    ...(onGap && { gap: onGap }),
  });
  return { consumer, deliveries, messages };
}

/** Leaves the delivery unsettled. */
export const HOLD: Reaction = () => undefined;

const BOOM = Object.freeze({ name: 'Boom', message: 'it broke', stack: 'Boom: it broke\n    at here' });

/** Again after a short while, as the next attempt. */
export function retryOf(delivery: Delivery, delayMs = 20): Settlement {
  return { kind: 'retry', delayMs, attempt: delivery.attempt + 1, failure: BOOM };
}

export function dead(reason = 'attempts-exhausted'): Settlement {
  return { kind: 'dead', reason, failure: BOOM };
}
