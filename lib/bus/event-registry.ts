import 'reflect-metadata';
import { ConfigurationError } from '../core/errors.js';
import { EVENT_METADATA, type EventClass, type EventDefinition } from './event-definition.js';
import type { Handler } from './handler.js';
import type { EventPublishOptions } from './publish-options.js';

export interface SubscribedEvent extends Pick<Handler, 'event' | 'schema'> {
  readonly patterns: readonly string[];
}

/** An event with all that was given to publish it. */
export interface NamedEvent {
  readonly topic: string;
  readonly payload: unknown;
  readonly options: EventPublishOptions | undefined;
  /** What is known of it when it has a class or a definition. */
  readonly definition: EventDefinition | undefined;
}

/** Knows which class or definition stands for which event on the wire. The wire never chooses a class. */
export class EventRegistry {
  /** The definition of an `@Event` class, of an instance of one, or of a definition itself. */
  find(value: unknown): EventDefinition | undefined {
    if (typeof value === 'function') return this.ofClass(value);
    if (typeof value !== 'object' || value === null) return undefined;
    const prototype: unknown = Object.getPrototypeOf(value);
    if (prototype === Object.prototype || prototype === null) {
      return typeof (value as Partial<EventDefinition>).topic === 'string' ? (value as EventDefinition) : undefined;
    }
    return this.ofClass((value as object).constructor);
  }

  /** The definition of the `@Event` class of an object; of a plain object none, whatever its fields say. */
  findByClass(value: unknown): EventDefinition | undefined {
    if (typeof value !== 'object' || value === null) return undefined;
    const prototype = Object.getPrototypeOf(value) as { readonly constructor?: unknown } | null;
    return typeof prototype?.constructor === 'function' ? this.ofClass(prototype.constructor) : undefined;
  }

  /** @throws ConfigurationError when the class has no `@Event` */
  get(value: EventClass | EventDefinition | object): EventDefinition {
    const definition = this.find(value);
    if (definition) return definition;
    const name = nameOf(value);
    throw new ConfigurationError(
      `${name || 'An anonymous class'} is not an event: decorate the class with @Event('some.topic'), or publish(topic, payload).`,
    );
  }

  /**
   * What the arguments of `publish` mean: a topic, a class or a definition, with a payload; or an object of an `@Event` class.
   *
   * @throws ConfigurationError when the class has no `@Event`
   */
  toEvent(first: string | object, second: unknown, third: EventPublishOptions | undefined): NamedEvent {
    if (typeof first === 'string') return { topic: first, payload: second, options: third, definition: undefined };
    const definition = this.get(first);
    const { topic } = definition;
    if (definition === first || typeof first === 'function')
      return { topic, payload: second, options: third, definition };
    return { topic, payload: first, options: second as EventPublishOptions | undefined, definition };
  }

  /** What a subscription asks for: patterns, and for a class or definition the one event that it understands. */
  describe(pattern: string | readonly string[] | EventClass | EventDefinition): SubscribedEvent {
    if (typeof pattern === 'string') return { patterns: [pattern] };
    if (Array.isArray(pattern)) return { patterns: pattern };
    const { topic, version = 1, schema } = this.get(pattern);
    return { patterns: [topic], event: { type: topic, version }, schema };
  }

  private ofClass(type: object): EventDefinition | undefined {
    return Reflect.getMetadata(EVENT_METADATA, type) as EventDefinition | undefined;
  }
}

/** Also of what a caller without types hands over. */
function nameOf(value: unknown): string {
  if (value === undefined || value === null) return String(value);
  if (typeof value === 'function') return value.name;
  return (value as { readonly constructor?: { readonly name?: string } }).constructor?.name ?? 'object';
}
