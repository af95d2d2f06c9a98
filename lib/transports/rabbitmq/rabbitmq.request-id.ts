/*
 * A request says in its message id by when it must be started: `<id>;expires=<milliseconds since 1970>`. A header could say it as
 * well, and is understood; but a table of headers costs the driver as much as all the rest of a request.
 */

const MARK = ';expires=';
/** Milliseconds since 1970 have so many from 2001 to 2286. */
const DIGITS = 13;
const LENGTH = MARK.length + DIGITS;
const NUMBER = /^[1-9]\d{12}$/;
/** AMQP has room for so many. */
const ID_BYTES = 255;

/** The id with the time; undefined when it cannot be written so. */
export function withExpiry(id: string, expiresAt: number): string | undefined {
  const time = String(expiresAt);
  return NUMBER.test(time) && Buffer.byteLength(id) + LENGTH <= ID_BYTES ? id + MARK + time : undefined;
}

/** The time that an id ends with. */
export function expiryOf(id: string): number | undefined {
  if (!id.startsWith(MARK, id.length - LENGTH)) return undefined;
  const time = id.slice(-DIGITS);
  return NUMBER.test(time) ? Number(time) : undefined;
}

/** The id without the time that it ends with. */
export function withoutExpiry(id: string): string {
  return id.slice(0, -LENGTH);
}
