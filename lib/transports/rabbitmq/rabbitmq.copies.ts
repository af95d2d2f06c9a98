import type { ChannelModel } from 'amqplib';
import { pause } from '../../core/deadline.js';
import { ConnectionError, PublishRejectedError } from '../../core/errors.js';
import type { Message } from '../../core/message.js';
import type { DeclareMode } from '../../core/transport.js';
import type { CopyState } from './rabbitmq.codec.js';
import { deadLetterQueue, retryQueue } from './rabbitmq.group-queues.js';
import type { RabbitMqLink } from './rabbitmq.link.js';
import type { RabbitMqPublisher } from './rabbitmq.publisher.js';
import type { RabbitMqTopology } from './rabbitmq.topology.js';

const TRIES = 5;
const REFUSED_PAUSE_MS = 50;

/** A copy is not the user's publish: one that is given up while the broker stores it is a message too many. */
const TIMEOUT_MS = 60_000;

type Declare = (connection: ChannelModel) => Promise<void>;

/** The delivery that is copied. */
export interface Original {
  /** The queue of its group, to which retries come back. */
  readonly queue: string;
  /** How the group's other queues are declared, if not like all. */
  readonly declareMode: DeclareMode | undefined;
  /** Aborted when it comes again anyway: then a copy would be a message too many. */
  readonly lost: AbortSignal;
}

/** Copies that stay with one group: to a retry queue, to the dead letters, back to the group. Confirmed, or they throw. */
export class RabbitMqCopies {
  private readonly declared = new Map<string, Promise<void>>();

  constructor(
    private readonly link: RabbitMqLink,
    private readonly publisher: RabbitMqPublisher,
    private readonly topology: RabbitMqTopology,
    /** The queue of a group. */
    private readonly queueOf: (group: string) => string,
  ) {}

  async retry(group: string, delayMs: number, message: Message, state: CopyState, original: Original): Promise<void> {
    const { queue, declareMode } = original;
    const declare = (connection: ChannelModel): Promise<void> =>
      this.topology.declareRetryQueue(connection, group, queue, delayMs, declareMode);
    await this.put(retryQueue(group, queue, delayMs), message, state, declare, original.lost);
  }

  async bury(group: string, message: Message, state: CopyState, original: Omit<Original, 'queue'>): Promise<void> {
    const declare = (connection: ChannelModel): Promise<void> =>
      this.topology.declareDeadLetterQueue(connection, group, original.declareMode);
    await this.put(deadLetterQueue(group), message, state, declare, original.lost);
  }

  /**
   * To the queue of a group, as its first attempt.
   *
   * @param lost aborted when the letter stays where it is: then a copy would be a message too many
   * @returns false when there is no such queue
   */
  giveBack(group: string, message: Message, lost: AbortSignal): Promise<boolean> {
    return this.copy(this.queueOf(group), message, { attempt: 1 }, lost);
  }

  /**
   * Declares a queue before its first copy, and again if it has been deleted since. A queue that was declared just now may
   * refuse its first messages while it elects a leader, so a refusal is tried again.
   */
  private async put(
    queue: string,
    message: Message,
    state: CopyState,
    declare: Declare,
    signal: AbortSignal,
  ): Promise<void> {
    for (let tries = 1; ; tries++) {
      try {
        await this.declareOnce(queue, declare);
        if (await this.copy(queue, message, state, signal)) return;
        this.declared.delete(queue);
        if (tries === TRIES) throw new ConnectionError(`Queue "${queue}" does not exist.`);
      } catch (error) {
        if (tries === TRIES || !(error instanceof PublishRejectedError) || error.code !== 'NACKED') throw error;
        await pause(REFUSED_PAUSE_MS * tries);
      }
    }
  }

  /** @returns whether the queue exists */
  private async copy(queue: string, message: Message, state: CopyState, signal: AbortSignal): Promise<boolean> {
    const options = { timeoutMs: TIMEOUT_MS, signal, onFull: 'wait' } as const;
    const { routed } = await this.publisher.publish({ kind: 'copy', queue, state }, message, options);
    return routed;
  }

  private async declareOnce(queue: string, declare: Declare): Promise<void> {
    let declared = this.declared.get(queue);
    if (!declared) {
      const { connection } = this.link;
      if (!connection) throw new ConnectionError(`"${queue}" cannot be declared: not connected.`);
      declared = declare(connection);
      this.declared.set(queue, declared);
    }
    try {
      await declared;
    } catch (error) {
      this.declared.delete(queue);
      throw error;
    }
  }
}
