import 'reflect-metadata';
import { ConfigurationError } from '../core/errors.js';
import { EVENT_METADATA, type EventClass, type EventDefinition } from './event-definition.js';

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

  /** @throws ConfigurationError when the class has no `@Event` */
  get(value: EventClass | EventDefinition | object): EventDefinition {
    const definition = this.find(value);
    if (definition) return definition;
    const name = typeof value === 'function' ? value.name : (value.constructor?.name ?? 'object');
    throw new ConfigurationError(
      `${name || 'An anonymous class'} is not an event: decorate the class with @Event('some.topic'), or publish(topic, payload).`,
    );
  }

  private ofClass(type: object): EventDefinition | undefined {
    return Reflect.getMetadata(EVENT_METADATA, type) as EventDefinition | undefined;
  }
}
