import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { SharedPlaces, type Waiter } from '../../../lib/bus/concurrency.js';

/** Somebody with work: takes places while there are any, as a group does. */
class Worker implements Waiter {
  running = 0;
  pumped = 0;

  constructor(
    private readonly places: SharedPlaces,
    private work: number,
  ) {}

  pump(): void {
    this.pumped++;
    this.takeAll();
  }

  takeAll(): void {
    while (this.work > 0 && this.places.tryTake(this)) {
      this.work--;
      this.running++;
    }
  }

  end(): void {
    this.running--;
    this.places.give();
    this.takeAll();
  }

  get left(): number {
    return this.work;
  }
}

const waiter = (log: string[], name: string): Waiter => ({ pump: () => void log.push(name) });

describe('SharedPlaces', () => {
  it('gives as many places as there are, and each again when it is given back', () => {
    const places = new SharedPlaces(2);
    const somebody = waiter([], '');
    expect([1, 2, 3].map(() => places.tryTake(somebody))).toEqual([true, true, false]);
    places.give();
    expect([1, 2].map(() => places.tryTake(somebody))).toEqual([true, false]);
  });

  it('asks those who were refused, the one waiting longest first, each once', () => {
    const places = new SharedPlaces(0);
    const log: string[] = [];
    const [a, b] = [waiter(log, 'a'), waiter(log, 'b')];
    for (const each of [a, b, a]) places.tryTake(each);
    places.give();
    expect(log).toEqual(['a', 'b']); // neither took the place
    places.give();
    expect(log).toEqual(['a', 'b']); // nobody waits any more
  });

  it('asks nobody further once the place is taken', () => {
    const places = new SharedPlaces(1);
    const log: string[] = [];
    const greedy: Waiter = {
      pump: () => {
        places.tryTake(greedy);
        log.push('greedy');
      },
    };
    const other = waiter(log, 'other');
    for (const each of [waiter(log, ''), greedy, other]) places.tryTake(each);
    places.give();
    expect(log).toEqual(['greedy']);
    places.give();
    expect(log).toEqual(['greedy', 'other']);
  });

  it('never runs more than there are places, leaves none empty while there is work, and ends all work', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 4 }),
        fc.array(fc.nat(6), { minLength: 1, maxLength: 4 }),
        fc.array(fc.nat(), { minLength: 24, maxLength: 24 }),
        (limit, works, choices) => {
          const places = new SharedPlaces(limit);
          const workers = works.map((work) => new Worker(places, work));
          for (const worker of workers) worker.takeAll();
          const sum = (of: (worker: Worker) => number): number => workers.reduce((total, each) => total + of(each), 0);
          for (const choice of choices) {
            const running = sum((each) => each.running);
            expect(running).toBe(Math.min(limit, running + sum((each) => each.left)));
            const busy = workers.filter((each) => each.running > 0);
            busy[choice % Math.max(1, busy.length)]?.end();
          }
          expect(sum((each) => each.left)).toBe(0);
        },
      ),
    );
  });
});
