import type { Connection, ConnectionState } from '../../core/transport.js';

/** Nothing to connect to: up from `open` to `close`. */
export class MemoryConnection implements Connection {
  readonly endpoint = 'memory';
  private readonly listeners = new Set<(state: ConnectionState) => void>();
  private current: ConnectionState = 'idle';

  get state(): ConnectionState {
    return this.current;
  }

  onStateChange(listener: (state: ConnectionState) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  raw(): undefined {
    return undefined;
  }

  become(state: ConnectionState): void {
    if (this.current === state || this.current === 'closed') return;
    this.current = state;
    for (const listener of this.listeners) listener(state);
  }
}
