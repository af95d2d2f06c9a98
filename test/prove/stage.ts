import { setTimeout as pause } from 'node:timers/promises';
import { Fleet } from '../fault/harness/fleet.js';
import { LedgerBook, type PublisherEnd } from '../fault/harness/ledger-book.js';
import type { Program } from '../fault/harness/program.js';
import { drainQueues } from '../fault/harness/queue-contents.js';
import { RabbitMqNode } from '../fault/harness/rabbitmq-node.js';
import { type Verdict, verify } from '../fault/harness/verdict.js';
import { type PublisherSettings, RETRY_MS, type WorkerSettings } from '../fault/programs/settings.js';

export const GROUP = 'work';
export const EXCHANGE = 'proof';
const POLL_MS = 25;
const DRAIN_QUIET_MS = 20_000;
const END_MS = 15_000;

/** What every proof under load needs: a broker to break, ledgers, and programs that publish and handle. */
export class Stage {
  readonly book = new LedgerBook();
  private readonly fleets: Fleet[] = [];
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

  workers(
    settings: Omit<WorkerSettings, 'url' | 'ledger' | 'group' | 'exchange'> & { readonly url?: string },
    spares = 0,
  ): Fleet {
    const common = { url: this.node.url(), group: GROUP, exchange: EXCHANGE };
    return this.fleet('worker', () => ({ ...common, ...settings, ledger: this.book.open('worker') }), spares);
  }

  publishers(
    settings: Omit<PublisherSettings, 'url' | 'ledger' | 'group' | 'exchange' | 'publisher'> & {
      readonly url?: string;
    },
  ): Fleet {
    const common = { url: this.node.url(), group: GROUP, exchange: EXCHANGE };
    return this.fleet('publisher', () => this.publisherSettings({ ...common, ...settings }, 'publisher'));
  }

  services(settings: object, spares = 0): Fleet {
    const common = { url: this.node.url(), group: GROUP, exchange: EXCHANGE };
    return this.fleet('service', () => this.publisherSettings({ ...common, ...settings }, 'service'), spares);
  }

  /** Waits for a fact of the ledgers; fails when a program has ended by itself, or nothing has come for too long. */
  async until(what: string, condition: (book: LedgerBook) => boolean, stalledMs = 120_000): Promise<void> {
    let progress = -1;
    let since = Date.now();
    while (!condition(this.book.read())) {
      for (const fleet of this.fleets) fleet.assertAlive();
      const now = this.book.confirmed.size + this.book.handlings;
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

  /** Lets the workers finish, ends everything in order, reads what is left in the queues, and judges. */
  async judge(
    faults: number,
    pending: number,
    retryDelaysMs: readonly number[] = [],
  ): Promise<Verdict & { readonly dead: number; readonly left: number }> {
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
    await this.endPrograms();
    book.read();
    for (const text of book.unhandledRejections.slice(0, 3)) console.log(`  unhandled rejection: ${text}`);
    const { left, dead } = await drainQueues(this.node.url(), GROUP, retryDelaysMs);
    const { confirmed, sent, handled } = book;
    const verdict = verify({ confirmed, sent, handled, dead, left, pending, faults });
    return { ...verdict, dead: dead.size, left: left.size };
  }

  async endPrograms(): Promise<void> {
    await Promise.all(this.fleets.map((fleet) => fleet.dispose(END_MS)));
  }

  private async clear(): Promise<void> {
    await this.endPrograms();
    await this.node.dispose();
    if (process.env.KEEP_LEDGERS === undefined) this.book.dispose();
    else console.log(`  ledgers: ${this.book.folder}`);
  }

  private fleet(name: 'worker' | 'publisher' | 'service', settings: () => object, spares = 0): Fleet {
    const fleet = new Fleet(name, settings, spares);
    this.fleets.push(fleet);
    return fleet;
  }

  private publisherSettings(settings: object, name: string): object {
    const publisher = `${name}${++this.publisherCount}`;
    return { ...settings, publisher, ledger: this.book.open(name) };
  }
}

export { RETRY_MS };
