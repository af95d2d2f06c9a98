import { Injectable } from '@nestjs/common';
import { CommandBus } from './rpc/command-bus.js';

/**
 * The event bus, as Nest injects it.
 *
 * @example
 * constructor(private readonly bus: EventBusService) {}
 * await this.bus.publish('orders.created', { id: '42' });
 * @publicApi
 */
@Injectable()
export class EventBusService extends CommandBus {}
