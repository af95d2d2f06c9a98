import type { ArgumentsHost } from '@nestjs/common';
import { ConfigurationError } from './core/errors.js';

/** What an exception filter is told about an event: `switchToRpc()` gives payload and context. */
export class EventArgumentsHost implements ArgumentsHost {
  constructor(private readonly args: readonly unknown[]) {}

  getArgs<T extends unknown[]>(): T {
    return [...this.args] as T;
  }

  getArgByIndex<T>(index: number): T {
    return this.args[index] as T;
  }

  getType<T extends string>(): T {
    return 'rpc' as T;
  }

  switchToRpc(): ReturnType<ArgumentsHost['switchToRpc']> {
    return {
      getData: <T>() => this.args[0] as T,
      getContext: <T>() => this.args[1] as T,
    };
  }

  switchToHttp(): never {
    throw new ConfigurationError('This is an event, not an HTTP request: check host.getType() === "http" first.');
  }

  switchToWs(): never {
    throw new ConfigurationError('This is an event, not a WebSocket message: check host.getType() === "ws" first.');
  }
}
