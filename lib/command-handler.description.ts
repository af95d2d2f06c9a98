import { commandGroup } from './bus/command-group.js';
import type { EventRegistry } from './bus/event-registry.js';
import type { HandlerRegistration } from './bus/group-definition.js';
import { HANDLER_POLICY_SHAPE } from './bus/option-checks.js';
import { ConfigurationError } from './core/errors.js';
import { oneOf, recordOf, shape, text } from './core/options.js';
import type { OnCommandMetadata } from './decorators/handler-metadata.js';
import { IDEMPOTENT, idempotencyOf, PLAIN, queueOf, SCHEMA } from './handler-options.js';

const OPTIONS_SHAPE = shape({
  ...HANDLER_POLICY_SHAPE,
  schema: SCHEMA,
  idempotent: IDEMPOTENT,
  bus: text(),
  rabbitmq: shape({
    queueType: oneOf(['quorum', 'classic']),
    arguments: recordOf(PLAIN),
    assert: oneOf(['assert', 'check', 'skip']),
  }),
});

/** Reports what is wrong with what `@OnCommand` was given. */
export function checkCommandHandler({ options }: OnCommandMetadata, place: string, problems: string[]): void {
  OPTIONS_SHAPE(options, `${place} options`, problems);
}

/**
 * What `@OnCommand` says of a method.
 *
 * @param exchange name of the main exchange, without the namespace
 * @throws ConfigurationError
 */
export function describeCommandHandler(
  { pattern, options }: OnCommandMetadata,
  place: string,
  exchange: string,
  registry: EventRegistry,
): Omit<HandlerRegistration, 'invoke'> {
  const { schema: ownSchema, idempotent, rabbitmq, bus: _bus, ...policy } = options;
  const { patterns, event, schema } = registry.describe(pattern);
  const [topic = '', ...others] = patterns;
  if (others.length > 0)
    throw new ConfigurationError('A command has one name. Give the method an @OnCommand for each, or use an event.');
  return {
    place,
    group: commandGroup(exchange, topic),
    command: topic,
    delivery: 'shared',
    rules: [], // no exchange leads to it
    policy,
    declare: rabbitmq?.assert,
    queue: queueOf(rabbitmq),
    idempotent: idempotencyOf(idempotent),
    event,
    schema: ownSchema ?? schema,
  };
}
