import { DecodeError, ValidationError } from '../core/errors.js';

/** What an attribute of a CloudEvent can hold: text, a boolean, or a whole number of 32 bits. */
export type CloudEventValue = string | boolean | number;

/** `undefined` leaves an attribute out. */
export type CloudEventAttributes = Readonly<Record<string, CloudEventValue | undefined>>;

export const SPEC_VERSION = '1.0';

const REQUIRED = ['id', 'source', 'type'] as const;
/** Optional, and text when they are there. */
const TEXTS: readonly string[] = ['subject', 'time', 'dataschema', 'datacontenttype'];
/** They are no attributes of an event, whatever they look like. */
const DATA: readonly string[] = ['data', 'data_base64'];
/** Made by the serializer alone: `id` is the option of `publish`. */
const FIXED: readonly string[] = ['specversion', 'id', 'datacontenttype', ...DATA];

const NAME = /^[a-z0-9]{1,64}$/;
/** Year, month, day, hour, minute, second; 60 is a leap second. */
const RFC_3339 =
  /^(\d{4})-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])[Tt](?:[01]\d|2[0-3]):[0-5]\d:(?:[0-5]\d|60)(?:\.\d+)?(?:[Zz]|[+-](?:[01]\d|2[0-3]):[0-5]\d)$/;
/** A colon in the first segment ends a scheme, or it may not be there. */
const URI_REFERENCE =
  /^(?:[A-Za-z][A-Za-z\d+.-]*:|(?![^/?#]*:))(?:[\w\-.~:/?@!$&'()*+,;=]|%[\dA-Fa-f]{2})*(?:#(?:[\w\-.~:/?@!$&'()*+,;=]|%[\dA-Fa-f]{2})*)?$/;
const SCHEME = /^[A-Za-z][A-Za-z\d+.-]*:./;
/** Control characters, and halves of characters. */
const UNPRINTABLE = /[\p{Cc}\p{Cs}]/u;

export function isUriReference(text: string): boolean {
  return text !== '' && URI_REFERENCE.test(text);
}

/** The same both ways. */
export function canBeValue(value: unknown): value is CloudEventValue {
  return (
    typeof value === 'string' || typeof value === 'boolean' || (typeof value === 'number' && (value | 0) === value)
  );
}

/** Whether others read it as an attribute; all else around an event is somebody's own. */
function isAttributeName(name: string): boolean {
  return NAME.test(name) && !DATA.includes(name);
}

/**
 * The attributes of an event that is published, without those that are `undefined`.
 *
 * @param own what the message gives
 * @param given by the user, who wins
 * @throws ValidationError naming attributes, not their values
 */
export function attributesToSend(own: CloudEventAttributes, given: CloudEventAttributes = {}): CloudEventAttributes {
  const issues = Object.keys(given)
    .filter((name) => !isAttributeName(name) || FIXED.includes(name))
    .map((name) =>
      FIXED.includes(name)
        ? `"${name}" is made by the serializer`
        : `"${name.slice(0, 64)}" is no name: lower-case letters and digits only`,
    );
  const attributes: Record<string, CloudEventValue> = {};
  for (const [name, value] of Object.entries({ ...own, ...given })) {
    if (value === undefined) continue;
    attributes[name] = value;
    const problem = problemOf(name, value);
    if (problem) issues.push(`"${name}" ${problem}`);
  }
  for (const name of REQUIRED) if (attributes[name] === undefined) issues.push(`"${name}" is missing`);
  if (issues.length === 0) return attributes;
  const hint = issues.some((issue) => issue.startsWith('"source"'))
    ? ' Set `source` of the serializer, or `service` of the bus.'
    : '';
  throw new ValidationError(`The event is no CloudEvent: ${issues.join('; ')}.${hint}`, issues, {}, 'UNSERIALIZABLE');
}

function problemOf(name: string, value: unknown): string | undefined {
  if (typeof value === 'boolean' || typeof value === 'number') {
    if (TEXTS.includes(name) || (REQUIRED as readonly string[]).includes(name)) return 'must be text';
    return canBeValue(value) ? undefined : 'must be a whole number of 32 bits';
  }
  if (typeof value !== 'string') return 'must be text, a boolean or a whole number';
  if (value === '') return 'is empty';
  if (UNPRINTABLE.test(value)) return 'has a control character in it';
  if (name === 'source' && !isUriReference(value)) return 'must be a URI reference';
  if (name === 'dataschema' && !(SCHEME.test(value) && isUriReference(value))) return 'must be a URI';
  if (name === 'time' && !isTime(value)) return 'must be a time as RFC 3339 writes it';
  return undefined;
}

/**
 * What came, as attributes: names that are none are left out, and `null` is as good as nothing.
 *
 * @throws DecodeError naming the attribute, not its value
 */
export function attributesReceived(
  entries: Iterable<readonly [string, unknown]>,
): Readonly<Record<string, CloudEventValue>> {
  const attributes: Record<string, CloudEventValue> = {};
  for (const [name, value] of entries) {
    if (!isAttributeName(name) || value === null) continue;
    if (!canBeValue(value)) {
      throw new DecodeError(
        `The CloudEvent's attribute "${name}" is neither text, boolean nor a whole number of 32 bits.`,
      );
    }
    if (Object.hasOwn(attributes, name) && attributes[name] !== value) {
      throw new DecodeError(`The CloudEvent says two things of "${name}".`);
    }
    attributes[name] = value;
  }
  assertReceived(attributes);
  return attributes;
}

function assertReceived(attributes: Readonly<Record<string, CloudEventValue>>): void {
  const of = (name: string): CloudEventValue | undefined =>
    Object.hasOwn(attributes, name) ? attributes[name] : undefined;
  if (of('specversion') !== SPEC_VERSION) {
    throw new DecodeError(`The body is no CloudEvent of version ${SPEC_VERSION}: "specversion" says otherwise.`);
  }
  for (const name of REQUIRED) {
    const value = of(name);
    if (typeof value !== 'string' || value === '') {
      throw new DecodeError(`The CloudEvent's required attribute "${name}" is missing, or no text.`);
    }
  }
  for (const name of TEXTS) {
    const value = of(name);
    if (value !== undefined && typeof value !== 'string') {
      throw new DecodeError(`The CloudEvent's attribute "${name}" is no text.`);
    }
  }
  const time = of('time');
  if (typeof time === 'string' && !isTime(time)) throw new DecodeError(`The CloudEvent's "time" is none.`);
}

function isTime(text: string): boolean {
  const [, year, month, day] = (text.length <= 64 && RFC_3339.exec(text)) || [];
  if (day === undefined) return false;
  // the days of a month: the last one is the day before the first of the next
  const last = new Date(0);
  last.setUTCFullYear(Number(year), Number(month), 0);
  return Number(day) <= last.getUTCDate();
}
