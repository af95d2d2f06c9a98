/** At most `limit` bytes of UTF-8, cut between characters. */
export function truncateBytes(text: string, limit: number): string {
  if (text.length * 3 <= limit || Buffer.byteLength(text) <= limit) return text;
  const marker = limit < 3 ? '' : '…';
  let end = limit - Buffer.byteLength(marker);
  const bytes = Buffer.from(text);
  while (end > 0 && ((bytes[end] ?? 0) & 0xc0) === 0x80) end--;
  return bytes.toString('utf8', 0, end) + marker;
}

/** Whether it arrives as it was sent: UTF-8 has no bytes for half of a surrogate pair. */
export function isWellFormed(text: string): boolean {
  return !/\p{Surrogate}/u.test(text);
}

/** What arrives when it is sent: halves of surrogate pairs become `\uFFFD`. */
export function toWellFormed(text: string): string {
  return text.replace(/\p{Surrogate}/gu, '\uFFFD');
}

/** For a log: what others chose can neither begin a line of its own nor command a terminal. */
export function onOneLine(text: string): string {
  return text.replace(/[\p{Cc}\u2028\u2029]/gu, (character) => {
    const code = character.charCodeAt(0).toString(16).padStart(4, '0');
    return character === '\n' ? '\\n' : `\\u${code}`;
  });
}

/** Fewest single-character edits from `a` to `b`. */
export function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const substitution = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(substitution, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}

/** The candidate that the user most likely meant, if any is near. */
export function nearest(name: string, candidates: readonly string[]): string | undefined {
  let best: string | undefined;
  let least = Math.max(2, Math.floor(name.length / 2)) + 1;
  for (const candidate of candidates) {
    const distance = editDistance(name.toLowerCase(), candidate.toLowerCase());
    if (distance < least) [best, least] = [candidate, distance];
  }
  return best;
}

/** Helps who has written a name that is unknown: the one that is meant most likely, else all that there are. */
export function hint(name: unknown, known: readonly string[]): string {
  const guess = typeof name === 'string' ? nearest(name, known) : undefined;
  return guess === undefined ? `Known: ${known.join(', ')}.` : `Did you mean "${guess}"?`;
}

/** Whether `text` fits `glob`, in which `*` stands for any characters, dots included. Linear. */
export function globMatches(glob: string, text: string): boolean {
  const parts = glob.split('*');
  const [first = '', ...rest] = parts;
  if (rest.length === 0) return text === glob;
  const last = rest.pop() ?? '';
  if (!text.startsWith(first) || text.length < first.length + last.length || !text.endsWith(last)) return false;
  let at = first.length;
  const end = text.length - last.length;
  for (const part of rest) {
    const found = text.indexOf(part, at);
    if (found < 0 || found + part.length > end) return false;
    at = found + part.length;
  }
  return true;
}

/**
 * Whether `text` fits `glob`, in which `*` stands for any characters, dots included, and `?` for one. Costs at most the length
 * of one times that of the other.
 */
export function wildcardMatches(glob: string, text: string): boolean {
  let [g, t] = [0, 0];
  // where the last `*` stands, and what of the text it does not cover yet
  let [star, rest] = [-1, 0];
  while (t < text.length) {
    if (glob[g] === '*') {
      [star, rest] = [g, t];
      g++;
    } else if (g < glob.length && (glob[g] === '?' || glob[g] === text[t])) {
      t += glob[g] === '?' ? charLength(text, t) : 1;
      g++;
    } else if (star >= 0) {
      rest++;
      [g, t] = [star + 1, rest];
    } else return false;
  }
  while (glob[g] === '*') g++;
  return g === glob.length;
}

/** Of the character that begins there. */
function charLength(text: string, at: number): number {
  return (text.codePointAt(at) ?? 0) > 0xffff ? 2 : 1;
}
