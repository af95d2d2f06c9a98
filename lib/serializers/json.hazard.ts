import { LIMITS } from '../core/limits.js';

/** What neither an encoder nor a decoder passes on. */
export type JsonHazard = 'depth' | 'prototype';

/** Goes on from "The body" or "it". */
export const JSON_HAZARDS: Readonly<Record<JsonHazard, string>> = {
  depth: `is nested deeper than ${LIMITS.depth} levels`,
  prototype: 'has a property "__proto__", or "constructor" with a "prototype" in it',
};

/** A name can be written with escapes; nobody escapes these letters for another reason. */
const ESCAPED_LETTER = /\\u00[567]/;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;
const OPEN_ARRAY = 0x5b;
const CLOSE_ARRAY = 0x5d;
/** Each array or object takes two characters at least. */
const MAY_BE_DEEP = 2 * LIMITS.depth;

/**
 * Whether JSON is nested deeper than the limit, or names a property by which code that copies it could change a prototype:
 * `__proto__`, or `constructor` with a `prototype` in it. Nearly free for a text in which neither can be.
 *
 * @param json valid JSON
 * @param parse gives the value of it; asked only for a text that may name such a property
 */
export function hazardOf(json: string, parse: () => unknown): JsonHazard | undefined {
  if (json.length > MAY_BE_DEEP && opensMany(json) && isDeep(json)) return 'depth';
  return mayName(json) && namesPrototype(parse()) ? 'prototype' : undefined;
}

/** Whether there are enough brackets to be too deep, in texts or not. */
function opensMany(json: string): boolean {
  let count = 0;
  for (const bracket of ['{', '[']) {
    for (let at = json.indexOf(bracket); at >= 0; at = json.indexOf(bracket, at + 1)) {
      if (++count > LIMITS.depth) return true;
    }
  }
  return false;
}

function isDeep(json: string): boolean {
  let depth = 0;
  for (let at = 0; at < json.length; at++) {
    switch (json.charCodeAt(at)) {
      case QUOTE:
        at = endOfText(json, at);
        break;
      case OPEN_OBJECT:
      case OPEN_ARRAY:
        if (++depth > LIMITS.depth) return true;
        break;
      case CLOSE_OBJECT:
      case CLOSE_ARRAY:
        depth--;
    }
  }
  return false;
}

/** @param begin where the quotation mark stands */
function endOfText(json: string, begin: number): number {
  for (let at = json.indexOf('"', begin + 1); at >= 0; at = json.indexOf('"', at + 1)) {
    let before = at - 1;
    while (json.charCodeAt(before) === BACKSLASH) before--;
    if ((at - before) % 2 === 1) return at;
  }
  return json.length;
}

function mayName(json: string): boolean {
  return (
    json.includes('__proto__') || json.includes('constructor') || (json.includes('\\u00') && ESCAPED_LETTER.test(json))
  );
}

/** Without recursion: a thousand levels are allowed. */
function namesPrototype(value: unknown): boolean {
  const open = [value].filter(isContainer);
  for (let container = open.pop(); container; container = open.pop()) {
    if (canChangePrototypes(container)) return true;
    for (const item of Object.values(container)) if (isContainer(item)) open.push(item);
  }
  return false;
}

function canChangePrototypes(container: object): boolean {
  if (Object.hasOwn(container, '__proto__')) return true;
  if (!Object.hasOwn(container, 'constructor')) return false;
  const { constructor: given } = container as { readonly constructor: unknown };
  return isContainer(given) && Object.hasOwn(given, 'prototype');
}

function isContainer(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}
