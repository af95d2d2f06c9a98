import type { ChannelModel } from 'amqplib';
import { pause, withDeadline } from '../../core/deadline.js';
import { ConnectionError } from '../../core/errors.js';
import type { Binding } from '../../core/exchange.js';
import { describeError } from '../../core/failure.js';
import { DEFAULTS, DEFERRAL_LEVELS_MS } from '../../core/limits.js';
import type { BusLogger } from '../../core/logger.js';
import type { Consumer } from '../../core/transport.js';
import { type ChannelError, rpc, withChannel } from './rabbitmq.channel.js';
import { isForeign } from './rabbitmq.exchanges.js';
import {
  changesQueue,
  DEAD_LETTER_ARGUMENTS,
  deadLetterQueue,
  NAME_BYTES,
  retryQueue,
  rulesQueue,
} from './rabbitmq.group-queues.js';
import type { RabbitMqGroupRecord } from './rabbitmq.group-record.js';
import type { RabbitMqLink } from './rabbitmq.link.js';
import { look } from './rabbitmq.queue-state.js';
import { bindingKey } from './rabbitmq.topology.js';

/** How long the record of groups is waited for. */
const RECORD_MS = 5_000;
/** While there is something to drain. */
const BUSY_MS = 1_000;
/** While somebody of the version before may still use it. */
const WATCH_MS = 5_000;
/** For the consumer of the old queue to begin; if that has gone meanwhile, it never would. */
const DRAIN_MS = 10_000;
/** A version before that was only away for a moment declares it again. */
const ABSENT_MS = 30_000;
/** A consumer of the old queue, whose deliveries belong to the new group. */
export interface Drain extends Consumer {
  /** Whether every delivery that it brought has been settled. */
  readonly isIdle: boolean;
}

export interface SuccessionParts {
  readonly link: RabbitMqLink;
  readonly logger: BusLogger;
  /** Consumes the queue for the new group. */
  readonly drain: (queue: string, signal: AbortSignal) => Promise<Drain>;
  /** What is written down of groups. */
  readonly record: Pick<RabbitMqGroupRecord, 'isRead' | 'find'>;
  /** So long it must have been empty and unused: a process that shuts down has no consumer but may still hold messages. */
  readonly unusedMs: number;
  /** Whether queues and bindings are made by hand: then the old ones are left as they are, and only what they hold is handled. */
  readonly isByHand: boolean;
  /** Puts dead letters of one group, the oldest ones, to those of another. Resolves with their number. */
  readonly moveDeadLetters: (from: string, to: string) => Promise<number>;
}

/**
 * Takes over what a group holds under a name that it had before: unbinds the old queue, handles what is in it, and removes it
 * with its retry and dead-letter queues when it is empty and nobody uses it. Several instances may do so at one time, beside
 * processes of the version before.
 */
export class RabbitMqSuccession {
  private readonly end = new AbortController();
  private draining: Drain | undefined;
  private emptySince: number | undefined;
  private running: Promise<void> | undefined;
  private isPaused = false;
  private isTold = false;
  private isWarned = false;

  private readonly group: string;

  constructor(
    private readonly parts: SuccessionParts,
    /** The new group, and all the names that it had before. */
    private readonly groups: readonly [string, ...string[]],
    private readonly previous: string,
    /** What it may be bound to. */
    private readonly bindings: readonly Binding[],
  ) {
    this.group = groups[0];
  }

  start(): void {
    this.running ??= this.run();
  }

  async close({ deadlineMs = DEFAULTS.shutdownDeadlineMs }: { readonly deadlineMs?: number } = {}): Promise<void> {
    const end = Date.now() + deadlineMs;
    this.end.abort();
    // first: the step that is under way may wait for it
    await this.draining?.close({ deadlineMs });
    const ended = withDeadline(this.running ?? Promise.resolve(), Math.max(0, end - Date.now()), () => {
      return new ConnectionError('The broker is silent, or has much to do.');
    });
    await ended.catch(() => undefined); // it ends with the connection, and does nothing more until then
    await this.draining?.close({ deadlineMs: Math.max(0, end - Date.now()) });
  }

  async pause(): Promise<void> {
    this.isPaused = true;
    await this.draining?.pause();
  }

  async resume(): Promise<void> {
    this.isPaused = false;
    await this.draining?.resume();
  }

  /** Never rejects. */
  private async run(): Promise<void> {
    const { signal } = this.end;
    const { link, record } = this.parts;
    // it says what the old queue is bound to; without it, what the new one is bound to must do
    const patience = Date.now() + RECORD_MS;
    while (!record.isRead && Date.now() < patience && !signal.aborted) await pause(100, signal);
    while (!signal.aborted) {
      let waitMs = WATCH_MS;
      try {
        const { connection } = link;
        if (connection) waitMs = await this.step(connection);
      } catch (error) {
        this.warn(error);
      }
      await pause(waitMs, signal);
    }
  }

  /** @returns how long to wait for the next one, in milliseconds */
  private async step(connection: ChannelModel): Promise<number> {
    const before = await look(connection, this.previous);
    if (!before) {
      await this.takeDeadLetters(connection);
      return (await this.stopDraining()) ? ABSENT_MS : BUSY_MS;
    }
    if (!this.parts.isByHand) await this.unbind(connection);
    if (before.messages > 0 || this.draining?.isIdle === false) return this.goOn();
    if (!(await this.stopDraining())) return BUSY_MS;
    const againMs = await this.lookForMessages(connection);
    if (againMs !== undefined) return againMs;
    if (this.parts.isByHand) return WATCH_MS;
    this.emptySince ??= Date.now();
    if (!this.parts.record.isRead || Date.now() - this.emptySince < this.parts.unusedMs)
      return Math.min(WATCH_MS, this.parts.unusedMs);
    return this.remove(connection);
  }

  /** Nothing when it is empty and unused, else how long to wait before looking again. */
  private async lookForMessages(connection: ChannelModel): Promise<number | undefined> {
    const queue = await look(connection, this.previous);
    if (queue?.messages === 0 && queue.consumers === 0) return undefined;
    this.emptySince = undefined;
    return queue?.messages === 0 ? WATCH_MS : 0;
  }

  /**
   * The same of its retry queues too, and which there are. Seldom: the broker notes each that is not there as an error.
   */
  private async lookForUse(
    connection: ChannelModel,
  ): Promise<{ readonly againMs: number } | { readonly againMs?: undefined; readonly retries: readonly string[] }> {
    const againMs = await this.lookForMessages(connection);
    if (againMs !== undefined) return { againMs };
    const retries = await this.retryQueues(connection);
    if (!retries.some(({ messages }) => messages > 0)) return { retries: retries.map(({ name }) => name) };
    this.emptySince = undefined;
    return { againMs: BUSY_MS };
  }

  private async goOn(): Promise<number> {
    this.emptySince = undefined;
    if (this.isPaused || this.end.signal.aborted) return BUSY_MS;
    if (this.draining) {
      await this.draining.resume();
      return BUSY_MS;
    }
    if (!this.isTold) this.parts.logger.log(`${this.group}: handles what "${this.previous}" still holds.`);
    this.isTold = true;
    const { signal } = this.end;
    const patience = AbortSignal.timeout(DRAIN_MS);
    try {
      this.draining = await this.parts.drain(this.previous, AbortSignal.any([signal, patience]));
    } catch (error) {
      if (!patience.aborted) throw error;
      throw new ConnectionError(`"${this.previous}" was not consumed within ${DRAIN_MS} ms.`, { cause: error });
    }
    if (this.isPaused) await this.draining.pause();
    return BUSY_MS;
  }

  /** @returns false while it holds what came in the last moment: to close it now would abort the handler of that */
  private async stopDraining(): Promise<boolean> {
    const { draining } = this;
    await draining?.pause();
    if (draining?.isIdle === false) return false;
    await draining?.close();
    if (this.draining === draining) this.draining = undefined;
    return true;
  }

  private async unbind(connection: ChannelModel): Promise<void> {
    const recorded = this.parts.record.find(this.previous)?.bindings ?? [];
    const unwanted = [
      ...this.bindings.map((binding) => ({ ...bindingKey(binding), exchange: binding.exchange.name })),
      // on other exchanges too, even on those that are not known here any more; what is not there is no error
      ...recorded.map(({ exchange, pattern }) => ({ exchange, key: pattern, args: {} })),
    ];
    await withChannel(connection, async (channel) => {
      for (const { exchange, key, args } of unwanted)
        await rpc(channel.unbindQueue(this.previous, exchange, key, args), `unbind "${this.previous}"`);
    });
  }

  /** Those that are there, of all that are known. */
  private async retryQueues(
    connection: ChannelModel,
  ): Promise<readonly { readonly name: string; readonly messages: number }[]> {
    const recorded = this.groups.flatMap((name) => this.parts.record.find(name)?.delaysMs ?? []);
    const known = [...DEFERRAL_LEVELS_MS, ...DEFAULTS.retryDelaysMs, DEFAULTS.unmatchedDelayMs];
    const found: { readonly name: string; readonly messages: number }[] = [];
    for (const delayMs of new Set([...recorded, ...known])) {
      // of a group of that name, and of this group, whatever its name was, when it consumed a queue of that name
      for (const group of this.groups) {
        const name = retryQueue(group, this.previous, delayMs);
        const queue = Buffer.byteLength(name) > NAME_BYTES ? undefined : await look(connection, name);
        if (queue) found.push({ name, messages: queue.messages });
      }
    }
    return found;
  }

  /**
   * The queue itself last: while it is there, what has failed half-way is taken up again.
   *
   * @returns how long to wait for the next step, in milliseconds
   */
  private async remove(connection: ChannelModel): Promise<number> {
    const before = await this.lookForUse(connection);
    if (before.againMs !== undefined) return before.againMs;
    const hasOwn = await this.moveDeadLetters(connection);
    // that takes its time, a retry that is due may be on its way, and a quorum queue cannot be removed only if it is empty
    await pause(BUSY_MS, this.end.signal);
    const used = await this.lookForUse(connection);
    if (used.againMs !== undefined || this.end.signal.aborted) return used.againMs ?? ABSENT_MS;
    await withChannel(connection, async (channel) => {
      for (const name of [...used.retries, ...(hasOwn ? this.belongings : []), this.previous])
        await rpc(channel.deleteQueue(name), `remove "${name}"`);
    });
    this.emptySince = undefined;
    this.parts.logger.log(`${this.group}: "${this.previous}" was empty and unused, and is removed.`);
    return ABSENT_MS;
  }

  /** What stands beside the queue of a group, but for its retry queues. */
  private get belongings(): readonly string[] {
    const { previous } = this;
    const hasRules = this.bindings.some(({ exchange }) => isForeign(exchange));
    return [deadLetterQueue(previous), ...(hasRules ? [rulesQueue(previous), changesQueue(previous)] : [])];
  }

  /** Of a group that consumed a queue of another name: that queue is not its own, but the dead letters are. */
  private async takeDeadLetters(connection: ChannelModel): Promise<void> {
    const letters = this.parts.isByHand ? undefined : await look(connection, deadLetterQueue(this.previous));
    if (letters && letters.messages > 0) await this.moveDeadLetters(connection);
  }

  /** @returns whether the queue of the dead letters is one of ours; only then they are moved */
  private async moveDeadLetters(connection: ChannelModel): Promise<boolean> {
    const hasOwn = await isOurs(connection, deadLetterQueue(this.previous));
    for (let moved = 1; hasOwn && moved > 0 && !this.end.signal.aborted; )
      moved = await this.parts.moveDeadLetters(this.previous, this.group);
    return hasOwn;
  }

  /** Once; it is tried again. */
  private warn(error: unknown): void {
    if (this.isWarned || this.end.signal.aborted) return;
    this.isWarned = true;
    this.parts.logger.warn(`${this.group}: cannot take over "${this.previous}" yet: ${describeError(error)}`);
  }
}

/** Whether a dead-letter queue is as this library makes them: one of that name may have been there before. */
async function isOurs(connection: ChannelModel, queue: string): Promise<boolean> {
  const args = { durable: true, arguments: DEAD_LETTER_ARGUMENTS };
  try {
    await withChannel(connection, (channel) => rpc(channel.assertQueue(queue, args), `compare "${queue}"`));
    return true;
  } catch (error) {
    if ((error as ChannelError).code !== 406) throw error;
    return false;
  }
}
