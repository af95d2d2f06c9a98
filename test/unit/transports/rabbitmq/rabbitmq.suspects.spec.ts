import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { RabbitMqSuspects } from '../../../../lib/transports/rabbitmq/rabbitmq.suspects.js';

interface Sent {
  readonly n: number;
  isSuspect: boolean;
}

interface Search {
  readonly count: number;
  /** For which the broker closes the channel. */
  readonly poisons: ReadonlySet<number>;
  readonly window: number;
  /** Whether the broker confirms what came before a poison, or closes the channel before it has confirmed anything. */
  readonly isPrompt: boolean;
}

interface Found {
  readonly blamed: readonly number[];
  readonly confirmed: readonly number[];
  /** How many were under way whenever the channel was closed. */
  readonly closed: readonly number[];
  readonly roundTrips: number;
}

/** What a publisher and a broker do until nothing is left: one round trip after the other. */
function search({ count, poisons, window, isPrompt }: Search): Found {
  const suspects = new RabbitMqSuspects();
  const [blamed, confirmed, closed]: [number[], number[], number[]] = [[], [], []];
  let waiting: Sent[] = Array.from({ length: count }, (_, n) => ({ n, isSuspect: false }));
  let roundTrips = 0;
  while (waiting.length > 0) {
    roundTrips++;
    const inFlight: Sent[] = [];
    for (let [next] = waiting; next && inFlight.length < window; [next] = waiting) {
      const { isSuspect } = next;
      if (isSuspect ? !suspects.mayTry() : suspects.isTrying) break;
      if (isSuspect) suspects.tried();
      inFlight.push(next);
      waiting = waiting.slice(1);
    }
    if (inFlight.length === 0) throw new Error('Nothing can be sent.');
    expect(new Set(inFlight.map(({ isSuspect }) => isSuspect)).size).toBe(1);
    const isTrial = suspects.ask();
    expect([isTrial, suspects.ask(), suspects.mayTry()]).toEqual([inFlight[0]?.isSuspect, false, !isTrial]);
    const at = inFlight.findIndex(({ n }) => poisons.has(n));
    const isClosed = at >= 0;
    const answered = isClosed ? inFlight.slice(0, isPrompt ? at : 0) : inFlight;
    for (const sent of answered) {
      sent.isSuspect = false;
      confirmed.push(sent.n);
    }
    if (!isClosed) {
      if (isTrial) suspects.passed();
      continue;
    }
    const lost = inFlight.slice(answered.length);
    closed.push(lost.length);
    suspects.forget();
    const [only, ...others] = lost;
    if (only && others.length === 0) {
      blamed.push(only.n);
      continue;
    }
    suspects.accuse(lost.length);
    for (const sent of lost) sent.isSuspect = true;
    waiting = [...lost, ...waiting];
  }
  return { blamed, confirmed, closed, roundTrips };
}

const halvings = (count: number): number => Math.ceil(Math.log2(count));
const range = (count: number): readonly number[] => Array.from({ length: count }, (_, n) => n);
const inOrder = (numbers: readonly number[]): readonly number[] => [...numbers].sort((a, b) => a - b);

const searches: fc.Arbitrary<Search> = fc
  .record({
    count: fc.integer({ min: 1, max: 300 }),
    window: fc.integer({ min: 1, max: 300 }),
    isPrompt: fc.boolean(),
    places: fc.array(fc.nat(299), { maxLength: 8 }),
  })
  .map(({ places, ...rest }) => ({ ...rest, poisons: new Set(places.filter((n) => n < rest.count)) }));

describe('RabbitMqSuspects', () => {
  it('whatever the places of the poisons: each is found alone, and all others are cleared, once', () => {
    fc.assert(
      fc.property(searches, (one) => {
        const { blamed, confirmed } = search(one);
        expect(inOrder(blamed)).toEqual(inOrder([...one.poisons]));
        expect(inOrder(confirmed)).toEqual(range(one.count).filter((n) => !one.poisons.has(n)));
      }),
    );
  });

  it('whatever the places of the poisons: few channels are closed for each', () => {
    fc.assert(
      fc.property(searches, (one) => {
        const { count, window, poisons } = one;
        const most = halvings(Math.min(count, window)) + 2;
        expect(search(one).closed.length).toBeLessThanOrEqual(poisons.size * most);
      }),
    );
  });

  it.each([2, 3, 10, 60, 333])('one poison among %i, wherever it is: found in few round trips', (count) => {
    for (const n of range(count)) {
      for (const isPrompt of [true, false]) {
        const { closed, roundTrips } = search({ count, poisons: new Set([n]), window: count, isPrompt });
        expect(closed.length).toBeLessThanOrEqual(halvings(count) + 1);
        // the last few one by one
        expect(roundTrips).toBeLessThanOrEqual(2 * halvings(count) + 8);
      }
    }
  });

  it('takes the half of them each time, and few one by one', () => {
    const { closed, blamed } = search({ count: 60, poisons: new Set([0]), window: 60, isPrompt: true });
    expect(closed).toEqual([60, 30, 15, 7, 1]);
    expect(blamed).toEqual([0]);
  });

  it('sends no more while a part is on trial; then the half of the rest, and twice as many when all have passed', () => {
    const suspects = new RabbitMqSuspects();
    suspects.accuse(40);
    for (const part of [20, 10, 5, 1, 1, 1, 1, 1, 2, 4, 8]) {
      send(suspects, part);
      expect([suspects.mayTry(), suspects.isTrying]).toEqual([false, true]);
      expect(suspects.ask()).toBe(true);
      suspects.passed();
      expect(suspects.isTrying).toBe(false);
    }
  });

  it('asks of a part that is smaller than it may be, once, and sends no more of it then', () => {
    const suspects = new RabbitMqSuspects();
    expect(suspects.ask()).toBe(false);
    suspects.accuse(40);
    expect(suspects.ask()).toBe(false);
    send(suspects, 3);
    expect(suspects.mayTry()).toBe(true);
    expect([suspects.ask(), suspects.ask(), suspects.mayTry()]).toEqual([true, false, false]);
  });

  it('a lost connection accuses nobody: parts of the same size go on with the next channel', () => {
    const suspects = new RabbitMqSuspects();
    suspects.accuse(20);
    send(suspects, 1);
    expect(suspects.ask()).toBe(true);
    suspects.forget();
    expect([suspects.isTrying, suspects.ask()]).toEqual([false, false]);
    send(suspects, 10);
    expect(suspects.mayTry()).toBe(false);
  });

  it('one that is left alone is tried again alone', () => {
    const suspects = new RabbitMqSuspects();
    suspects.accuse(1);
    send(suspects, 1);
    expect(suspects.mayTry()).toBe(false);
  });
});

function send(suspects: RabbitMqSuspects, count: number): void {
  for (const _ of range(count)) {
    expect(suspects.mayTry()).toBe(true);
    suspects.tried();
  }
}
