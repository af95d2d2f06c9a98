interface Ids {
  has(id: string): boolean;
}

export interface Evidence {
  /** Of these the broker took responsibility. */
  readonly confirmed: Iterable<string>;
  /** All that may have been published. */
  readonly sent: Ids;
  /** How often each was handled successfully. */
  readonly handled: ReadonlyMap<string, number>;
  readonly dead?: Ids;
  /** Still in a queue at the end. */
  readonly left?: Ids;
  /** Publishes that never settled. */
  readonly pending?: number;
  /** Handled in this order, where an order was promised: one list of numbers for each stream. */
  readonly orders?: Iterable<readonly number[]>;
  /** What the breaker says that it broke. */
  readonly faults: number;
}

export interface Verdict {
  readonly confirmed: number;
  readonly handled: number;
  /** Confirmed, but neither handled nor dead-lettered nor queued. */
  readonly lost: readonly string[];
  /** Handlings beyond the first of each. */
  readonly duplicates: number;
  /** Handled, though nobody published it. */
  readonly unknown: readonly string[];
  /** First handlings that came after a later one of their stream. */
  readonly disorder: number;
  readonly pending: number;
  readonly faults: number;
  /** Nothing here: the promise was kept, and something had happened that could have broken it. */
  readonly problems: readonly string[];
}

const NONE: Ids = { has: () => false };

/** Compares what was promised with what came. */
export function verify({
  confirmed,
  sent,
  handled,
  dead = NONE,
  left = NONE,
  pending = 0,
  orders = [],
  faults,
}: Evidence): Verdict {
  const lost: string[] = [];
  let promised = 0;
  for (const id of confirmed) {
    promised++;
    if (!handled.has(id) && !dead.has(id) && !left.has(id)) lost.push(id);
  }
  const unknown: string[] = [];
  let duplicates = 0;
  for (const [id, times] of handled) {
    duplicates += times - 1;
    if (!sent.has(id)) unknown.push(id);
  }
  let disorder = 0;
  for (const order of orders) disorder += inversionsOf(order);
  const problems: string[] = [];
  const problem = (isOne: boolean, text: string): void => {
    if (isOne) problems.push(text);
  };
  problem(faults === 0, 'no fault happened, so nothing is proved');
  problem(promised === 0, 'nothing was confirmed, so nothing is proved');
  problem(lost.length > 0, `${lost.length} lost, such as ${lost.slice(0, 5).join(', ')}`);
  problem(
    unknown.length > 0,
    `${unknown.length} handled that nobody published, such as ${unknown.slice(0, 5).join(', ')}`,
  );
  problem(disorder > 0, `${disorder} out of order`);
  problem(pending > 0, `${pending} publishes never settled`);
  return { confirmed: promised, handled: handled.size, lost, duplicates, unknown, disorder, pending, faults, problems };
}

/** A number that comes again is a duplicate, and no disorder. */
function inversionsOf(order: readonly number[]): number {
  const seen = new Set<number>();
  let highest = Number.NEGATIVE_INFINITY;
  let inversions = 0;
  for (const n of order) {
    if (seen.has(n)) continue;
    seen.add(n);
    if (n < highest) inversions++;
    else highest = n;
  }
  return inversions;
}
