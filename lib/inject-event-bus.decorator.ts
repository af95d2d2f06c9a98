import { Inject } from '@nestjs/common';
import { getEventBusToken } from './event-bus.constants.js';

/**
 * Injects a named bus; without a name, the default one, as the plain type `EventBusService` does.
 *
 * @example constructor(@InjectEventBus('audit') private readonly audit: EventBusService) {}
 * @publicApi
 */
export function InjectEventBus(name?: string): PropertyDecorator & ParameterDecorator {
  return Inject(getEventBusToken('service', name));
}
