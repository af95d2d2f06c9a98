import { Module } from '@nestjs/common';
import { HandlerScope } from './bus/handler-scope.js';
import { EventContextHost } from './event-context.host.js';

/** Once in an application, however many buses it has: what is published by one in a handler of another belongs to its chain. */
@Module({
  providers: [{ provide: HandlerScope, useFactory: () => new HandlerScope() }, EventContextHost],
  exports: [HandlerScope, EventContextHost],
})
export class EventContextModule {}
