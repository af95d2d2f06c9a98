import { inspect } from 'node:util';

/**
 * An object that is printed as what it says of itself, by a log as by a debugger: what is inside may hold credentials,
 * keys or payloads.
 */
export abstract class Described {
  abstract toJSON(): unknown;

  [inspect.custom](): unknown {
    return this.toJSON();
  }
}
