import 'reflect-metadata';
import type { CommandClass, CommandDefinition } from '../bus/command-definition.js';
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

/** A decorator that adds to what is known of a method. */
export function handlerDecorator(metadata: HandlerMetadata): MethodDecorator {
  return (target, key, descriptor) => {
    const method = descriptor.value as object;
    const earlier = (Reflect.getOwnMetadata(HANDLER_METADATA, method) ?? []) as readonly HandlerMetadata[];
    Reflect.defineMetadata(HANDLER_METADATA, [...earlier, metadata], method);
    writeParams(target, key, PARAMS_METADATA);
  };
}
