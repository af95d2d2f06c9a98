/** The empty text has no words; else a word may be empty. */
export function words(text: string): string[] {
  return text === '' ? [] : text.split('.');
}

/**
 * The AMQP topic rule: `*` is one word, `#` any number. One row of dynamic programming, so the cost is pattern words
 * times topic words whatever the input; a hostile pattern cannot make it explode as a regular expression would.
 */
export function topicMatches(pattern: string, topic: string): boolean {
  if (pattern === topic || pattern === '#') return true;
  if (!pattern.includes('*') && !pattern.includes('#')) return false;
  const asked = words(pattern);
  const given = words(topic);
  let row = new Uint8Array(given.length + 1);
  row[0] = 1;
  for (const word of asked) {
    const next = new Uint8Array(given.length + 1);
    if (word === '#') {
      let seen = 0;
      for (let j = 0; j <= given.length; j++) {
        seen ||= row[j] ?? 0;
        next[j] = seen;
      }
    } else {
      for (let j = 1; j <= given.length; j++) {
        next[j] = row[j - 1] === 1 && (word === '*' || word === given[j - 1]) ? 1 : 0;
      }
    }
    row = next;
  }
  return row[given.length] === 1;
}

/** Whether some topic is matched by both patterns. Same cost as a match. */
export function patternsOverlap(a: string, b: string): boolean {
  const left = words(a);
  const right = words(b);
  // reach[i][j]: the first i words of a and the first j words of b can stand for the same topic
  const reach = Array.from({ length: left.length + 1 }, () => new Uint8Array(right.length + 1));
  for (let i = 0; i <= left.length; i++) {
    for (let j = 0; j <= right.length; j++) {
      if (i === 0 && j === 0) {
        set(reach, 0, 0);
        continue;
      }
      const l = left[i - 1];
      const r = right[j - 1];
      const viaHash =
        (i > 0 && get(reach, i - 1, j) && (l === '#' || (j > 0 && r === '#'))) ||
        (j > 0 && get(reach, i, j - 1) && (r === '#' || (i > 0 && l === '#')));
      const viaWord =
        i > 0 && j > 0 && get(reach, i - 1, j - 1) && (l === r || l === '*' || r === '*' || l === '#' || r === '#');
      if (viaHash || viaWord) set(reach, i, j);
    }
  }
  return get(reach, left.length, right.length);
}

function get(reach: readonly Uint8Array[], i: number, j: number): boolean {
  return reach[i]?.[j] === 1;
}

function set(reach: readonly Uint8Array[], i: number, j: number): void {
  const row = reach[i];
  if (row) row[j] = 1;
}

/**
 * More words spelled out win, then more `*`, then fewer `#`: so a pattern never loses to one that matches more. Any
 * number of `#` between two spelled-out words counts once, since they say the same as one.
 */
export function topicSpecificity(pattern: string): readonly number[] {
  let literals = 0;
  let stars = 0;
  let hashes = 0;
  let open = false;
  for (const word of words(pattern)) {
    if (word === '*') stars++;
    else if (word !== '#') {
      literals++;
      open = false;
    } else if (!open) {
      hashes++;
      open = true;
    }
  }
  return [literals, stars, -hashes];
}
