import type { Malformed, Order } from './malformed.js';

/**
 * Says by other means than the library what has to become of a message. What it shares with it is the engine's parser; what
 * is asked of a message beyond JSON stands here by hand.
 */
const STRICT = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const TYPES: readonly (string | undefined)[] = [
  undefined,
  '',
  'application/json',
  'application/json; charset=utf-8',
  'APPLICATION/JSON',
];
const ENCODINGS: readonly (string | undefined)[] = [undefined, '', 'identity', 'utf-8', 'UTF8'];
const BODY_LIMIT = 1_048_576;
const DEPTH_LIMIT = 1_000;

export type Fate = 'handled' | 'undecodable' | 'validation';

export function fateOf({ body, contentType, contentEncoding }: Malformed): Fate {
  if (!TYPES.includes(contentType) || !ENCODINGS.includes(contentEncoding)) return 'undecodable';
  if (body.length > BODY_LIMIT) return 'undecodable';
  let value: unknown;
  try {
    value = JSON.parse(STRICT.decode(body));
  } catch {
    return 'undecodable';
  }
  if (isHostile(value)) return 'undecodable';
  return isOrder(value) ? 'handled' : 'validation';
}

/** Every value with its depth, by a list of what is still to be looked at. */
function isHostile(value: unknown): boolean {
  const open: (readonly [value: unknown, depth: number])[] = [[value, 1]];
  for (let next = open.pop(); next; next = open.pop()) {
    const [each, depth] = next;
    if (each === null || typeof each !== 'object') continue;
    if (depth > DEPTH_LIMIT) return true;
    for (const [name, item] of Object.entries(each)) {
      if (name === '__proto__') return true;
      if (name === 'constructor' && Object.keys(Object(item) as object).includes('prototype')) return true;
      open.push([item, depth + 1]);
    }
  }
  return false;
}

export function isOrder(value: unknown): value is Order {
  if (value === null || typeof value !== 'object') return false;
  if (Object.getPrototypeOf(value) !== Object.prototype) return false;
  const { id, n, tags } = value as Record<string, unknown>;
  if (typeof id !== 'string' || id.length === 0) return false;
  if (typeof n !== 'number' || n - n !== 0) return false;
  return Array.isArray(tags) && tags.every((tag) => typeof tag === 'string');
}
