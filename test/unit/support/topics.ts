/** Written without a look at the library: the AMQP topic rule as a plain recursion over words. */
export function matchesByTheBook(pattern: string, topic: string): boolean {
  const words = (text: string): string[] => (text === '' ? [] : text.split('.'));
  const go = (asked: string[], given: string[]): boolean => {
    const [word, ...others] = asked;
    if (word === undefined) return given.length === 0;
    if (word === '#') return go(others, given) || (given.length > 0 && go(asked, given.slice(1)));
    return given.length > 0 && (word === '*' || word === given[0]) && go(others, given.slice(1));
  };
  return go(words(pattern), words(topic));
}

/** All topics (or patterns) of up to `longest` words. */
export function allOf(words: readonly string[], longest: number): string[] {
  let layer: string[][] = [[]];
  const all = [''];
  for (let length = 1; length <= longest; length++) {
    layer = layer.flatMap((start) => words.map((word) => [...start, word]));
    all.push(...layer.map((each) => each.join('.')));
  }
  return all;
}
