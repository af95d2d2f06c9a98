export type { EventBusConnectionStatus } from './connection-status.js';
export { EventBusClient, type EventBusClientOptions } from './event-bus.client.js';
export { EventBusContext } from './event-bus.context.js';
export { EventBusExceptionFilter } from './event-bus.exception-filter.js';
export { EVENT_BUS_TRANSPORT_ID, EventBusServer, type EventBusServerOptions } from './event-bus.server.js';
export type { EventPatternExtras } from './pattern.extras.js';
