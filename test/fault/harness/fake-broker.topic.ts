/** Written apart from the library's matcher, so that they cannot share a mistake. */
export function topicMatches(pattern: string, topic: string): boolean {
  return matches(pattern.split('.'), topic.split('.'));
}

function matches([first, ...pattern]: readonly string[], words: readonly string[]): boolean {
  if (first === undefined) return words.length === 0;
  if (first === '#') return words.some((_, at) => matches(pattern, words.slice(at))) || matches(pattern, []);
  const [word, ...rest] = words;
  return word !== undefined && (first === '*' || first === word) && matches(pattern, rest);
}
