import { EventBus } from '../../../lib/bus/event-bus.js';
import type { EventBusOptions } from '../../../lib/bus/event-bus.options.js';
import type { EventBusParts } from '../../../lib/bus/event-bus.parts.js';
import { HandlerScope } from '../../../lib/bus/handler-scope.js';
import { resolveOptions } from '../../../lib/bus/resolved-options.js';
import type { TransportCapabilities } from '../../../lib/core/transport.js';
import { TopicExchange } from '../../../lib/exchanges/topic.exchange.js';
import { JsonSerializer } from '../../../lib/serializers/json.serializer.js';
import { FakeTransport } from './fake.transport.js';
import { RecordingLogger } from './recording.logger.js';

export interface FakeParts extends EventBusParts {
  readonly transport: FakeTransport;
  readonly logger: RecordingLogger;
}

/** The parts of a bus that does what the test says. */
export function fakeParts(options: EventBusOptions = {}, capabilities: Partial<TransportCapabilities> = {}): FakeParts {
  return {
    name: 'default',
    options: resolveOptions(options),
    transport: new FakeTransport(capabilities),
    exchange: new TopicExchange(),
    serializer: new JsonSerializer(),
    scope: new HandlerScope(),
    logger: new RecordingLogger(),
  };
}

/** A bus of these parts, and the parts. */
export function aBus(
  options: EventBusOptions = {},
  more: Partial<EventBusParts> & { readonly capabilities?: Partial<TransportCapabilities> } = {},
): FakeParts & { readonly bus: EventBus } {
  const { capabilities, ...replaced } = more;
  const parts: FakeParts = { ...fakeParts(options, capabilities), ...(replaced as Partial<FakeParts>) };
  return { ...parts, bus: new EventBus(parts) };
}
