import { Injectable } from '@nestjs/common';
import { EventBus } from './bus/event-bus.js';

/**
 * The event bus, as Nest injects it.
 *
 * @example
 * constructor(private readonly bus: EventBusService) {}
 * await this.bus.publish('orders.created', { id: '42' });
 * @publicApi
 */
@Injectable()
export class EventBusService extends EventBus {}
