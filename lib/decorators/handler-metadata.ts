import 'reflect-metadata';
import type { CommandClass, CommandDefinition } from '../bus/command-definition.js';
import { ConfigurationError } from '../core/errors.js';
import { writeParams } from './handler-params.js';
import { HANDLER_METADATA, PARAMS_METADATA } from './metadata.js';
import type { OnCommandOptions } from './on-command.decorator.js';
import type { EventPattern, OnEventOptions } from './on-event.decorator.js';

/** What `@OnEvent` was given. */
export interface OnEventMetadata {
  readonly kind: 'event';
  readonly pattern: EventPattern;
  readonly options: OnEventOptions;
}

/** What `@OnCommand` was given. */
export interface OnCommandMetadata {
  readonly kind: 'command';
  readonly pattern: string | CommandClass | CommandDefinition;
  readonly options: OnCommandOptions;
}

export type HandlerMetadata = OnEventMetadata | OnCommandMetadata;

function notLegacy({ kind }: HandlerMetadata): Error {
  return new ConfigurationError(
    `@${kind === 'event' ? 'OnEvent' : 'OnCommand'} must stand at a method, compiled with "experimentalDecorators": true in tsconfig.json, as all of Nest is (and "emitDecoratorMetadata": true for its injection, which tsx and esbuild do not have).`,
  );
}

/** A decorator that adds to what is known of a method. */
export function handlerDecorator(metadata: HandlerMetadata): MethodDecorator {
  return (target, key, descriptor) => {
    // what another compiler makes of the decorators calls them with other arguments
    const { value: method } = (descriptor ?? {}) as { readonly value?: unknown };
    if (typeof method !== 'function') throw notLegacy(metadata);
    const earlier = (Reflect.getOwnMetadata(HANDLER_METADATA, method) ?? []) as readonly HandlerMetadata[];
    Reflect.defineMetadata(HANDLER_METADATA, [...earlier, metadata], method);
    writeParams(target, key, PARAMS_METADATA);
  };
}
