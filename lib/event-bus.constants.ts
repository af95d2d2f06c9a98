import { DeadLetterService } from './bus/dead-letter.service.js';
import { EventBusService } from './event-bus.service.js';
import { RendezvousService } from './rendezvous/rendezvous.service.js';

/** Name of the bus when `forRoot` is given none. */
export const DEFAULT_BUS = 'default';

/** The options as given to `forRoot`. */
export const EVENT_BUS_OPTIONS = 'EVENT_BUS_OPTIONS';
/** The connection provider: live state, its changes, the driver's own connections. */
export const EVENT_BUS_CONNECTION = 'EVENT_BUS_CONNECTION';
/** The routing rule. */
export const EVENT_BUS_EXCHANGE_HANDLER = 'EVENT_BUS_EXCHANGE_HANDLER';
export const EVENT_BUS_SERIALIZER = 'EVENT_BUS_SERIALIZER';
export const EVENT_BUS_TRANSPORT = 'EVENT_BUS_TRANSPORT';

const TOKENS = {
  options: EVENT_BUS_OPTIONS,
  connection: EVENT_BUS_CONNECTION,
  exchangeHandler: EVENT_BUS_EXCHANGE_HANDLER,
  serializer: EVENT_BUS_SERIALIZER,
  transport: EVENT_BUS_TRANSPORT,
  service: EventBusService,
  deadLetters: DeadLetterService,
  rendezvous: RendezvousService,
} as const;

export type EventBusTokenKind = keyof typeof TOKENS;
type EventBusToken = (typeof TOKENS)[EventBusTokenKind];

/**
 * The injection token of one part of one bus. Parts of the default bus have the plain tokens.
 *
 * @param kind which part, or its plain token
 * @param name of the bus; default the unnamed one
 * @example Test.createTestingModule({ … }).overrideProvider(getEventBusToken('transport', 'audit')).useValue(fake)
 * @publicApi
 */
export function getEventBusToken(kind: EventBusTokenKind | EventBusToken, name: string = DEFAULT_BUS): EventBusToken {
  const token =
    typeof kind === 'string' && Object.hasOwn(TOKENS, kind)
      ? TOKENS[kind as EventBusTokenKind]
      : (kind as EventBusToken);
  if (name === DEFAULT_BUS) return token;
  return `${typeof token === 'string' ? token : token.name}:${name}` as EventBusToken;
}
