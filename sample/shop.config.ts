import { type EventBusModuleExtras, type EventBusModuleOptions, fixed } from '../lib/index.js';

export const PORT = Number(process.env.PORT ?? 3000);

/** The only thing that changes between a laptop and production is `transport`. */
export const BUS: EventBusModuleOptions & EventBusModuleExtras = {
  service: 'shop', // names the queues: shop.<Class>.<method>
  exchange: 'shop', // one of its own, so that you see only the shop's events on a broker that others use too
  transport: process.env.EVENT_BUS_URL ?? 'memory:',
  // Two shops on one broker that shall not share anything, such as yours and a colleague's.
  ...(process.env.EVENT_BUS_NAMESPACE && { namespace: process.env.EVENT_BUS_NAMESPACE }),
};

/** Named, because its dead letters are asked for by this name. */
export const MAILER_GROUP = 'shop.mailer';
/** So short that you can watch it. Without it: 1 s, 5 s, 25 s, 125 s, 600 s. */
export const MAILER_RETRY = fixed({ attempts: 3, delayMs: 200 });

export const STOCK = { keyboard: 100, mouse: 100, monitor: 0 };
export const PRICES_IN_CENTS = { keyboard: 8_900, mouse: 2_900, monitor: 34_900 };
