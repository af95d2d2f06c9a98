import { setMaxListeners } from 'node:events';
import type { Channel, ChannelModel, ConsumeMessage } from 'amqplib';
import { pause } from '../../core/deadline.js';
import { ConnectionError } from '../../core/errors.js';
import { rpc, withChannel } from './rabbitmq.channel.js';

/**
 * Letters that are taken at one time to do something with them: so many bodies are in memory, and so many may be replayed
 * twice when a process dies.
 */
const BATCH = 500;
/** Before it is known how large they are. */
const FIRST_BATCH = 50;
/** Fewer of the large ones are taken at one time, so that they do not fill the memory. */
const BATCH_BYTES = 32 * 1_048_576;

/** A queue that gives nothing for so long is asked whether it has anything left. */
const IDLE_MS = 200;
const SILENT_MS = 10_000;

/** How long is waited for a queue to take back what was only read. */
const GIVE_BACK_MS = 2_000;

/** Some letters in the order of the queue. */
export interface Batch {
  readonly letters: readonly ConsumeMessage[];
  /** Place of the first one in the queue. */
  readonly first: number;
  /** Aborted when they have gone back, and what is not removed yet will stay. */
  readonly lost: AbortSignal;
  /** Removes one for ever. @throws ConnectionError when they have gone back */
  readonly remove: (letter: ConsumeMessage) => void;
}

/**
 * A dead-letter queue, for whoever is its only reader: it is read by taking without acknowledging, and what is not removed
 * goes back when the channel closes.
 */
export class RabbitMqLetterQueue {
  constructor(
    private readonly connection: ChannelModel,
    private readonly name: string,
  ) {}

  /** Letters that nobody holds. */
  async size(): Promise<number> {
    return (await this.state()).messageCount;
  }

  /** @returns how many were removed for ever */
  async purge(): Promise<number> {
    const purge = (channel: Channel): Promise<{ messageCount: number }> =>
      rpc(channel.purgeQueue(this.name), `purge "${this.name}"`);
    return (await withChannel(this.connection, purge)).messageCount;
  }

  /** Shows the first `count` letters one by one, and keeps none of them: they may be many, and large. */
  look(count: number, show: (letter: ConsumeMessage) => void, signal: AbortSignal): Promise<void> {
    return this.open(async (channel, lost) => {
      await this.take(channel, count, tagOf(0), AbortSignal.any([lost, signal]), show);
    });
  }

  /**
   * Takes the first `count` letters in batches, and gives back what `use` has not removed: when it resolves, that can be seen
   * again.
   *
   * @param use resolves with whether to go on
   */
  read(count: number, use: (batch: Batch) => boolean | Promise<boolean>): Promise<void> {
    return this.open(async (channel, lost) => {
      let removed = 0;
      const remove = (letter: ConsumeMessage): void => {
        lost.throwIfAborted();
        channel.ack(letter);
        removed++;
      };
      const work = async (): Promise<void> => {
        for (let first = 0, size = FIRST_BATCH; first < count; ) {
          const letters: ConsumeMessage[] = [];
          const before = removed;
          await this.take(channel, Math.min(size, count - first), tagOf(first), lost, (letter) => letters.push(letter));
          if (letters.length === 0) return;
          if (!(await use({ letters, first, lost, remove }))) return;
          first += letters.length;
          // a small one only behind one of which nothing stays: of more than 32 consumers the broker forgets the order
          size = removed - before === letters.length ? sizeFor(letters) : BATCH;
        }
      };
      await thenAlso(work(), async () => {
        if (removed > 0) await this.flush(channel);
      });
    });
  }

  /** On a channel of its own; when it resolves, everything that `work` has not removed can be seen again. */
  private async open(work: (channel: Channel, lost: AbortSignal) => Promise<void>): Promise<void> {
    const { consumerCount } = await this.state();
    await withChannel(this.connection, async (channel) => {
      const lost = new AbortController();
      setMaxListeners(0, lost.signal); // every letter of a batch listens
      channel.once('close', () => lost.abort(new ConnectionError(`The channel that read "${this.name}" is gone.`)));
      await thenAlso(work(channel, lost.signal), async () => {
        // all at once: then they go back in their order
        await rpc(channel.close(), 'give dead letters back');
        await this.givenBack(consumerCount);
      });
    });
  }

  /**
   * Never more than `count`, because its consumer may hold no more, and is cancelled before anything is removed; fewer only
   * when there are no more.
   */
  private async take(
    channel: Channel,
    count: number,
    tag: string,
    end: AbortSignal,
    use: (letter: ConsumeMessage) => void,
  ): Promise<void> {
    const full = new AbortController();
    let isGone = false;
    let taken = 0;
    await rpc(channel.prefetch(count), `read "${this.name}"`);
    const onLetter = (letter: ConsumeMessage | null): void => {
      isGone ||= letter === null;
      if (letter) {
        taken++;
        use(letter);
      }
      if (taken === count || isGone) full.abort();
    };
    const consumed = channel.consume(this.name, onLetter, { consumerTag: tag });
    const { consumerTag } = await rpc(consumed, `read "${this.name}"`);
    const enough = AbortSignal.any([full.signal, end]);
    for (let silentMs = 0, known = 0; !enough.aborted; known = taken) {
      await pause(IDLE_MS, enough);
      silentMs = taken > known ? 0 : silentMs + IDLE_MS;
      // what the queue has handed out may still be on its way
      if (silentMs > IDLE_MS && (await this.size()) === 0) break;
      if (silentMs > SILENT_MS) throw new ConnectionError(`RabbitMQ delivers nothing from "${this.name}".`);
    }
    end.throwIfAborted();
    if (isGone) throw new ConnectionError(`Queue "${this.name}" went away while it was read.`);
    await rpc(channel.cancel(consumerTag), `read "${this.name}"`);
  }

  /**
   * A channel that is told of many removals at once keeps most of them back for a moment, and if it closes then, a quorum
   * queue never hears of them. It answers this in its turn, after which they are on their way.
   */
  private async flush(channel: Channel): Promise<void> {
    await rpc(channel.get(this.name), `read "${this.name}"`);
  }

  /** A quorum queue takes letters back together with their consumers, some time after the channel has closed. */
  private async givenBack(consumersBefore: number): Promise<void> {
    for (const end = Date.now() + GIVE_BACK_MS; Date.now() < end; await pause(5)) {
      if ((await this.state()).consumerCount <= consumersBefore) return;
    }
  }

  private state(): Promise<{ readonly messageCount: number; readonly consumerCount: number }> {
    return withChannel(this.connection, (channel) => rpc(channel.checkQueue(this.name), `count "${this.name}"`));
  }
}

/** A quorum queue takes letters back consumer by consumer, in the order of their tags: that of the letters, then. */
function tagOf(first: number): string {
  return `letters.${String(first).padStart(16, '0')}`;
}

/** How many like these are taken next. */
function sizeFor(letters: readonly ConsumeMessage[]): number {
  const largest = Math.max(1, ...letters.map(({ content }) => content.byteLength));
  return Math.min(BATCH, Math.max(1, Math.floor(BATCH_BYTES / largest)));
}

/** Settles as `work` does, after `also`, which happens in any case; an error of that counts only if there is no other. */
async function thenAlso(work: Promise<void>, also: () => Promise<void>): Promise<void> {
  try {
    await work;
  } catch (error) {
    await also().catch(() => undefined); // most often for the same reason
    throw error;
  }
  await also();
}
