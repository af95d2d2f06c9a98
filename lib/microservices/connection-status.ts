import type { Connection, ConnectionState } from '../core/transport.js';

/** What `status` of the server and of the client emits. `blocked`: connected, but the broker takes nothing for now. */
export type EventBusConnectionStatus = 'connected' | 'blocked' | 'disconnected';

const STATUS: Readonly<Record<ConnectionState, EventBusConnectionStatus>> = {
  idle: 'disconnected',
  connecting: 'disconnected',
  up: 'connected',
  blocked: 'blocked',
  down: 'disconnected',
  closed: 'disconnected',
};

/** Tells the status now and whenever it changes. @returns the way to stop */
export function followStatus(connection: Connection, tell: (status: EventBusConnectionStatus) => void): () => void {
  tell(STATUS[connection.state]);
  return connection.onStateChange((state) => tell(STATUS[state]));
}
