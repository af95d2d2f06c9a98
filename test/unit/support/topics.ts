/** Answers by hand, from the AMQP rules: an oracle that shares the code of the matcher would share its bugs. */
export const TOPIC_TABLE: readonly (readonly [pattern: string, topic: string, matches: boolean])[] = [
  // words spelled out
  ['orders.created', 'orders.created', true],
  ['orders.created', 'orders.deleted', false],
  ['orders.created', 'orders', false],
  ['orders', 'orders.created', false],
  ['orders.created', 'orders.created.eu', false],
  ['orders.created', 'created.orders', false],
  ['orders.created', 'Orders.created', false],
  // the dot is a dot, and nothing else is special
  ['orders.created', 'ordersXcreated', false],
  ['a+.*', 'aa.b', false],
  ['a+.*', 'a+.b', true],
  ['[ab].*', 'a.x', false],
  ['bestellung.*', 'bestellung.größe', true],
  // * is exactly one word
  ['*', 'orders', true],
  ['*', '', false],
  ['*', 'orders.created', false],
  ['orders.*', 'orders.created', true],
  ['orders.*', 'orders', false],
  ['orders.*', 'orders.created.eu', false],
  ['*.created', 'orders.created', true],
  ['*.created', 'created', false],
  ['*.created', 'a.orders.created', false],
  ['orders.*.eu', 'orders.created.eu', true],
  ['orders.*.eu', 'orders.eu', false],
  ['orders.*.eu', 'orders.created.us', false],
  ['*.*', 'a.b', true],
  ['*.*', 'a', false],
  ['*.*', 'a.b.c', false],
  // # is any number of words, none included
  ['#', '', true],
  ['#', 'orders', true],
  ['#', 'orders.created.eu', true],
  ['orders.#', 'orders', true],
  ['orders.#', 'orders.created', true],
  ['orders.#', 'orders.created.eu', true],
  ['orders.#', '', false],
  ['orders.#', 'order', false],
  ['orders.#', 'orders2.created', false],
  ['orders.#', 'a.orders', false],
  ['#.eu', 'eu', true],
  ['#.eu', 'orders.eu', true],
  ['#.eu', 'orders.created.eu', true],
  ['#.eu', 'orders.eu.old', false],
  ['#.eu', 'neu', false],
  ['a.#.z', 'a.z', true],
  ['a.#.z', 'a.b.z', true],
  ['a.#.z', 'a.b.c.z', true],
  ['a.#.z', 'a.z.z', true],
  ['a.#.z', 'a.z.b', false],
  ['a.#.z', 'a', false],
  ['a.#.a', 'a', false],
  ['a.#.a', 'a.a', true],
  ['#.b.#', 'b', true],
  ['#.b.#', 'a.b.c', true],
  ['#.b.#', 'a.c', false],
  ['#.a.#.b.#', 'a.b', true],
  ['#.a.#.b.#', 'x.a.y.b.z', true],
  ['#.a.#.b.#', 'b.a', false],
  // several wildcards together
  ['#.#', '', true],
  ['#.#', 'a', true],
  ['#.#', 'a.b.c', true],
  ['*.#', '', false],
  ['*.#', 'a', true],
  ['*.#', 'a.b.c', true],
  ['#.*', '', false],
  ['#.*', 'a', true],
  ['#.*', 'a.b.c', true],
  ['*.#.*', 'a', false],
  ['*.#.*', 'a.b', true],
  ['*.#.*', 'a.b.c', true],
  ['#.*.#', '', false],
  ['#.*.#', 'a', true],
  ['a.*.#', 'a', false],
  ['a.*.#', 'a.b', true],
  ['a.*.#', 'a.b.c', true],
  // a word may be empty; the empty topic has no words
  ['', '', true],
  ['', 'a', false],
  ['', '.', false],
  ['.', '.', true],
  ['.', '', false],
  ['.', 'a.b', false],
  ['a..b', 'a..b', true],
  ['a..b', 'a.b', false],
  ['a.b', 'a..b', false],
  ['a.', 'a', false],
  ['a', 'a.', false],
  ['orders.*', 'orders.', true],
  ['*.created', '.created', true],
  ['orders.*.eu', 'orders..eu', true],
  ['*.*', '.', true],
  ['*.*.*', '..', true],
  ['*.*', '..', false],
  ['#', '..', true],
  ['a.#.z', 'a..z', true],
  ['.#', '.b', true],
  ['.#', 'a.b', false],
  ['#.', 'a.', true],
  // a wildcard is a whole word, else it is a letter
  ['a*', 'ab', false],
  ['a*', 'a*', true],
  ['a#', 'a.b', false],
  ['a#', 'a#', true],
  ['**', 'a', false],
  ['##', 'a', false],
  ['orders.**', 'orders.created', false],
  ['orders.##', 'orders', false],
  ['*.a*', 'x.a*', true],
  ['*.a*', 'x.ab', false],
  // in a topic, * and # are letters
  ['a.b', 'a.*', false],
  ['a.b', 'a.#', false],
  ['a.b', '#', false],
  ['a.b', '*.*', false],
  ['*', '*', true],
  ['*', '#', true],
  ['a.*', 'a.#', true],
  ['a.#', 'a.*.#', true],
  ['*.b', '#', false],
];

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
