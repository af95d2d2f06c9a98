import { setTimeout as pause } from 'node:timers/promises';
import { Fleet } from '../fault/harness/fleet.js';
import { LedgerBook, type PublisherEnd } from '../fault/harness/ledger-book.js';
import type { Program, ProgramName } from '../fault/harness/program.js';
import { drainQueues } from '../fault/harness/queue-contents.js';
import { RabbitMqNode } from '../fault/harness/rabbitmq-node.js';
import { type Verdict, verify } from '../fault/harness/verdict.js';
import type { DeployedSettings } from '../fault/programs/deployed.js';
import {
  type ProgramSettings,
  type PublisherSettings,
  RETRY_MS,
  type WorkerSettings,
} from '../fault/programs/settings.js';
import { Operator } from './operator.js';
import { atMost, type Figures } from './proof.js';

export const GROUP = 'work';
export const EXCHANGE = 'proof';
const POLL_MS = 25;
const DRAIN_QUIET_MS = 20_000;
const END_MS = 15_000;

type Handling = Omit<WorkerSettings, 'url' | 'ledger' | 'group' | 'exchange'> & { readonly url?: string };

/** What became of the messages, in the words of a report. */
class Judgement {
  constructor(
    private readonly verdict: Verdict,
    private readonly book: LedgerBook,
    private readonly ends: readonly PublisherEnd[],
    readonly dead: number,
    private readonly left: number,
  ) {}

  get confirmed(): number {
    return this.verdict.confirmed;
  }

  get duplicates(): number {
    return this.verdict.duplicates;
  }

  get figures(): Figures['figures'] {
    const { confirmed, handled, duplicates, problems } = this.verdict;
    return {
      confirmed,
      handled,
      duplicates,
      'left in a queue': this.left,
      rejections: JSON.stringify(Object.fromEntries(this.book.rejected)),
      'slowest publish (ms)': Math.round(Math.max(...this.ends.map(({ slowestMs }) => slowestMs))),
      problems: problems.join('; ') || 'none',
    };
  }

  /** What is asked of every proof under load, whatever else it asks. */
  get bars(): Figures['bars'] {
    const { lost, unknown, problems } = this.verdict;
    return {
      lost: atMost(lost.length, 0),
      // what still lies in a queue is not lost, but somebody should have fetched it
      'confirmed, never handled': atMost(this.book.unhandled, 0),
      'dead-lettered': atMost(this.dead, 0),
      'handled, never published': atMost(unknown.length, 0),
      'publishes pending at the end': atMost(sumOf(this.ends, 'pending'), 0),
      'publishes settled later than timeout + 1 s': atMost(sumOf(this.ends, 'late'), 0),
      'unhandled rejections': atMost(this.book.unhandledRejections.length, 0),
      problems: atMost(problems.length, 0),
    };
  }
}

/** What every proof under load needs: a broker to break, ledgers, and programs that publish and handle. */
export class Stage {
  readonly book = new LedgerBook();
  private readonly fleets: Fleet[] = [];
  private readonly operators: Operator[] = [];
  private publisherCount = 0;

  private constructor(readonly node: RabbitMqNode) {}

  static async set<T>(play: (stage: Stage) => Promise<T>): Promise<T> {
    const node = await RabbitMqNode.start();
    const stage = new Stage(node);
    try {
      return await play(stage);
    } finally {
      await stage.clear();
    }
  }

  workers(settings: Handling, spares = 0): Fleet {
    return this.handlers('worker', settings, spares);
  }

  crashers(settings: Handling, spares = 0): Fleet {
    return this.handlers('crasher', settings, spares);
  }

  publishers(
    settings: Omit<PublisherSettings, 'url' | 'ledger' | 'group' | 'exchange' | 'publisher'> & {
      readonly url?: string;
    },
  ): Fleet {
    const common = { url: this.node.url(), group: GROUP, exchange: EXCHANGE };
    return this.fleet('publisher', () => this.publisherSettings({ ...common, ...settings }, 'publisher'));
  }

  /** Versions of one service. */
  deployed(settings: Omit<DeployedSettings, keyof ProgramSettings | 'publisher'>): Fleet {
    const common = { url: this.node.url(), group: GROUP, exchange: EXCHANGE };
    return this.fleet('deployed', () => this.publisherSettings({ ...common, ...settings }, 'deployed'));
  }

  services(settings: object, spares = 0): Fleet {
    const common = { url: this.node.url(), group: GROUP, exchange: EXCHANGE };
    return this.fleet('service', () => this.publisherSettings({ ...common, ...settings }, 'service'), spares);
  }

  /** Somebody who reads and replays the dead letters of a group. */
  async operator(group = GROUP): Promise<Operator> {
    const common = { url: this.node.url(), group, exchange: EXCHANGE };
    const operator = await Operator.start({ ...common, ledger: this.book.open('operator') });
    this.operators.push(operator);
    return operator;
  }

  /** Waits for a fact of the ledgers; fails when a program has ended by itself, or nothing has come for too long. */
  async until(what: string, condition: (book: LedgerBook) => boolean, stalledMs = 120_000): Promise<void> {
    let progress = -1;
    let since = Date.now();
    while (!condition(this.book.read())) {
      for (const fleet of this.fleets) fleet.assertAlive();
      const now = this.book.confirmed.size + this.book.handlings + this.book.thrown;
      if (now !== progress) {
        progress = now;
        since = Date.now();
      } else if (Date.now() - since > stalledMs) {
        throw new Error(`Nothing has come for ${stalledMs} ms, while waiting until ${what}.`);
      }
      await pause(POLL_MS);
    }
  }

  /** Stops publishing, and waits for the outcome of what is under way. */
  async finish(publishers: readonly Program[], timeoutMs: number): Promise<readonly PublisherEnd[]> {
    const ends = publishers.map((program) => program.next('finished', timeoutMs + 10_000));
    for (const program of publishers) program.send({ kind: 'stop' });
    return (await Promise.all(ends)) as unknown as readonly PublisherEnd[];
  }

  /**
   * Lets the workers finish, ends everything in order, reads what is left in the queues, and judges.
   * @param ends what became of the publishes of each publisher
   * @param group whose queues are read
   */
  async judge(
    faults: number,
    ends: readonly PublisherEnd[],
    retryDelaysMs: readonly number[] = [],
    group = GROUP,
  ): Promise<Judgement> {
    const { book } = this;
    await this.settle();
    await this.endPrograms();
    book.read();
    for (const text of book.unhandledRejections.slice(0, 3)) console.log(`  unhandled rejection: ${text}`);
    const { left, dead } = await drainQueues(this.node.url(), group, retryDelaysMs);
    const { confirmed, sent, handled } = book;
    const pending = sumOf(ends, 'pending');
    const verdict = verify({ confirmed, sent, handled, dead, left, pending, faults });
    return new Judgement(verdict, book, ends, dead.size, left.size);
  }

  /** Until all that is confirmed is handled, or nothing has been handled for long. */
  async settle(): Promise<void> {
    const { book } = this;
    let seen = -1;
    let since = Date.now();
    while (book.read().unhandled > 0 && Date.now() - since < DRAIN_QUIET_MS) {
      if (book.handlings !== seen) {
        seen = book.handlings;
        since = Date.now();
      }
      await pause(10 * POLL_MS);
    }
  }

  async endPrograms(): Promise<void> {
    await Promise.all(this.fleets.map((fleet) => fleet.dispose(END_MS)));
    await Promise.all(this.operators.map((operator) => operator.end()));
  }

  private async clear(): Promise<void> {
    await this.endPrograms();
    await this.node.dispose();
    if (process.env.KEEP_LEDGERS === undefined) this.book.dispose();
    else console.log(`  ledgers: ${this.book.folder}`);
  }

  private handlers(name: ProgramName, settings: Handling, spares: number): Fleet {
    const common = { url: this.node.url(), group: GROUP, exchange: EXCHANGE };
    return this.fleet(name, () => ({ ...common, ...settings, ledger: this.book.open(name) }), spares);
  }

  private fleet(name: ProgramName, settings: () => object, spares = 0): Fleet {
    const fleet = new Fleet(name, settings, spares);
    this.fleets.push(fleet);
    return fleet;
  }

  private publisherSettings(settings: object, name: string): object {
    const publisher = `${name}${++this.publisherCount}`;
    return { ...settings, publisher, ledger: this.book.open(name) };
  }
}

/** Of no end at all it is not a number, which clears no bar. */
function sumOf(ends: readonly PublisherEnd[], field: 'pending' | 'late'): number {
  return ends.length === 0 ? Number.NaN : ends.reduce((sum, end) => sum + end[field], 0);
}

export { RETRY_MS };
