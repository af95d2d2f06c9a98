/** A payload of more values, and names where they count, is not searched, but taken to be quoted. */
const VALUES = 5_000;
/** A quotation may break off. */
const BEGINNING = 24;
/** Shorter ones turn up within words by chance. */
const DISTINCT = 8;
const WORD = /[\p{L}\p{N}_]/u;

export interface QuotedParts {
  /** Whether the names of properties count as well as values. */
  readonly names: boolean;
  /** Values of fewer characters do not count. */
  readonly atLeast: number;
}

/** Whether `text` shows something of a payload: as it is, or with the escapes of JSON. */
export function quotes(text: string, payload: unknown, { names, atLeast }: QuotedParts): boolean {
  const said = text.toLowerCase();
  const isSaid = (part: string): boolean => part.length >= atLeast && shows(said, part);
  const open: unknown[] = [payload];
  for (let count = 0; open.length > 0; count++) {
    if (count >= VALUES) return true;
    const value = open.pop();
    if (typeof value !== 'object' || value === null) {
      if (isLeaf(value) && isSaid(String(value))) return true;
    } else if (!ArrayBuffer.isView(value)) {
      if (names && !Array.isArray(value)) {
        const own = Object.keys(value);
        count += own.length;
        if (count >= VALUES || own.some(isSaid)) return true;
      }
      open.push(...Object.values(value).slice(0, VALUES));
    }
  }
  return false;
}

function isLeaf(value: unknown): value is string | number | bigint | boolean {
  return ['string', 'number', 'bigint', 'boolean'].includes(typeof value);
}

function shows(said: string, part: string): boolean {
  const beginning = part.trim().slice(0, BEGINNING).toLowerCase();
  if (beginning === '') return false;
  const untrimmed = part.slice(0, BEGINNING).toLowerCase();
  const escaped = JSON.stringify(untrimmed).slice(1, -1);
  return finds(said, beginning) || (escaped !== untrimmed && finds(said, escaped));
}

function finds(said: string, part: string): boolean {
  if (part.length >= DISTINCT) return said.includes(part.slice(0, BEGINNING));
  for (let at = said.indexOf(part); at >= 0; at = said.indexOf(part, at + 1)) {
    if (!WORD.test(said[at - 1] ?? '') && !WORD.test(said[at + part.length] ?? '')) return true;
  }
  return false;
}

/** What stands at a path of own properties; the whole where there is no such path. */
export function valueAt(payload: unknown, path: readonly string[]): unknown {
  let value = payload;
  for (const step of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, step)) return payload;
    value = (value as Readonly<Record<string, unknown>>)[step];
  }
  return value;
}

/**
 * Whether a complaint about the value at a path shows something of the payload. Elsewhere in it short values do not count:
 * "at least 1" says nothing of a 1.
 */
export function complaintQuotes(complaint: string, payload: unknown, path: readonly string[], names: boolean): boolean {
  return (
    quotes(complaint, valueAt(payload, path), { names, atLeast: 1 }) ||
    quotes(complaint, payload, { names: false, atLeast: 4 })
  );
}
