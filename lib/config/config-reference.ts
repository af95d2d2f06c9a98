/** `${NAME}`, `${NAME:-default}`, or `${.path.to.key}` of the same file. */
export type Reference =
  | { readonly kind: 'variable'; readonly name: string; readonly fallback?: string }
  | { readonly kind: 'key'; readonly path: readonly string[] };

/** Text as it is, or a reference within braces. */
export type Segment = string | { readonly reference: Reference };

/** What a text between `${` and `}` asks for; undefined when it is neither. */
export function parseReference(content: string): Reference | undefined {
  if (content.startsWith('.')) {
    const path = content.slice(1).split('.');
    return path.every((key) => /^[\w$-]+$/.test(key)) ? { kind: 'key', path } : undefined;
  }
  const name = /^[A-Za-z_]\w*/.exec(content)?.[0];
  if (name === undefined) return undefined;
  const rest = content.slice(name.length);
  if (rest === '') return { kind: 'variable', name };
  return rest.startsWith(':-') ? { kind: 'variable', name, fallback: rest.slice(2) } : undefined;
}

/**
 * Where the reference that begins at `start` ends: behind the brace that closes it. A default may hold braces in pairs, and,
 * where it is not itself within quotes, any brace between quotes.
 */
export function endOfReference(text: string, start: number, hasQuotes: boolean): number | undefined {
  let depth = 0;
  for (let at = start + 1; at < text.length; at++) {
    const character = text[at];
    if (hasQuotes && character === '"') {
      at = endOfQuotes(text, at);
    } else if (character === '{') {
      depth++;
    } else if (character === '}' && --depth === 0) {
      return at + 1;
    }
  }
  return undefined;
}

function endOfQuotes(text: string, start: number): number {
  let at = start + 1;
  while (at < text.length && text[at] !== '"') at += text[at] === '\\' ? 2 : 1;
  return at;
}

/**
 * Takes a text apart. Before a brace `$$` stands for `$`: `$${` for `${`, and in `$$${A}` a dollar is followed by a reference.
 *
 * @param hasQuotes as in `endOfReference`
 * @returns a complaint when a reference in it cannot be understood
 */
export function segmentsOf(text: string, hasQuotes: boolean): readonly Segment[] | { readonly complaint: string } {
  const segments: Segment[] = [];
  let at = 0;
  for (;;) {
    const next = text.indexOf('${', at);
    if (next < 0) return [...segments, text.slice(at)].filter((segment) => segment !== '');
    let first = next;
    while (first > at && text[first - 1] === '$') first--;
    const dollars = next + 1 - first;
    segments.push(text.slice(at, first), '$'.repeat(dollars >> 1));
    if (dollars % 2 === 0) {
      segments.push('{');
      at = next + 2;
      continue;
    }
    const end = endOfReference(text, next, hasQuotes);
    if (end === undefined) return { complaint: UNCLOSED };
    const reference = parseReference(text.slice(next + 2, end - 1));
    if (reference === undefined) return { complaint: MALFORMED };
    segments.push({ reference });
    at = end;
  }
}

export const UNCLOSED = `a reference that begins with \${ has no closing }. For the characters themselves write $\${.`;
export const MALFORMED = `a reference must be \${NAME}, \${NAME:-default} or \${.path.to.key}. For the characters \${ themselves write $\${.`;

/** A value that stands without quotes: what JSON makes of it, else text. */
export function typed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
