import { ValidationError } from './errors.js';

/** A payload that a serializer does not write. @param why goes on from "The payload was not published:", without values */
export function unserializable(why: string, options?: ErrorOptions): ValidationError {
  return new ValidationError(`The payload was not published: ${why}.`, [], options, 'UNSERIALIZABLE');
}
