import { type ArgumentsHost, Catch } from '@nestjs/common';
import { BaseExceptionFilter } from '@nestjs/core';
import { BaseRpcExceptionFilter, type RpcException } from '@nestjs/microservices';
import { throwError } from 'rxjs';
import { EventBusContext } from './event-bus.context.js';

/**
 * Gives the bus the error with which the handler of an event failed. Without it Nest puts `Internal server error` in its place,
 * so that what can never succeed (`BadRequestException`, `ForbiddenException`, `DeadLetterError`) is retried like all else.
 * Everything besides events is treated as by Nest itself. Register it before other global filters: Nest asks the last one first.
 *
 * @example
 * app.connectMicroservice({ strategy }).useGlobalFilters(new EventBusExceptionFilter());
 * // with inheritAppConfig, for what fails over HTTP:
 * app.useGlobalFilters(new EventBusExceptionFilter(app.getHttpAdapter()));
 * @publicApi
 */
@Catch()
export class EventBusExceptionFilter extends BaseExceptionFilter {
  private readonly rpc = new BaseRpcExceptionFilter();

  override catch(error: unknown, host: ArgumentsHost): unknown {
    // oxlint-disable-next-line promise/valid-params -- a filter of Nest, not a promise
    if (host.getType() !== 'rpc') return super.catch(error, host);
    const context: unknown = host.switchToRpc().getContext();
    if (context instanceof EventBusContext && !context.isRequest) return throwError(() => error);
    // oxlint-disable-next-line promise/valid-params -- a filter of Nest, not a promise
    return this.rpc.catch(error as RpcException, host);
  }
}
