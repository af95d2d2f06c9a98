import { setMaxListeners } from 'node:events';
import type { Channel, ChannelModel, ConsumeMessage } from 'amqplib';
import { pause } from '../../core/deadline.js';
import { ConnectionError } from '../../core/errors.js';
import { Outstanding } from '../../core/outstanding.js';
import { accessRefused, type ChannelError, closeQuietly, rpc } from './rabbitmq.channel.js';
import { returnsOf } from './rabbitmq.codec.js';
import { type DeliveryOwner, RabbitMqDelivery, type SettlementPath } from './rabbitmq.delivery.js';
import type { RabbitMqSieve } from './rabbitmq.sieve.js';
import { WriteBatch } from './rabbitmq.write-batch.js';

/** So many outcomes a channel passes on to a quorum queue at once. */
const PASSED_ON = 32;
const PASS_ON_MS = 100;
/** Rules of its own that were lost are written down again so soon. */
const LOOK_MS = 5_000;

export interface IntakeEvents {
  onDelivery(delivery: RabbitMqDelivery): void;
  /** Something that the group does not want was acknowledged. `returns`: how often it had come back to its queue. */
  onDropped(returns: number): void;
  /** Rules of the group were lost at the broker: for a while nothing is dropped. */
  onDoubt(): void;
  /** The broker has taken the consumer away: its queue was deleted or has moved. */
  onCancelled(intake: RabbitMqIntake): void;
  /** It must be given up: the broker did not say what had to be known. */
  onFailed(intake: RabbitMqIntake, error: unknown): void;
}

/** What one channel brings from one queue. Its deliveries can be settled there and nowhere else, and are lost with it. */
export class RabbitMqIntake implements SettlementPath {
  private readonly outstanding = new Outstanding<RabbitMqDelivery>();
  private readonly batch: WriteBatch;
  private readonly loss = new AbortController();
  private tag: string | undefined;
  /** Outcomes that the broker was told of. */
  private told = 0;
  /** Unsettled deliveries that the broker may send; 0 is no consumer. */
  private wanted = 0;
  private present = 0;
  /** The change under way, and those that wait for it. */
  private tuning: Promise<void> | undefined;
  /** What came beyond the limit while the broker changed from one number to another; handed out in its turn. */
  private readonly held: RabbitMqDelivery[] = [];
  /** What is not wanted, as far as is known. */
  private readonly doubtful: ConsumeMessage[] = [];
  private sifting: Promise<void> | undefined;
  private sieve: RabbitMqSieve | undefined;
  private looking: NodeJS.Timeout | undefined;
  private isInDoubt = false;

  constructor(
    private readonly channel: Channel,
    connection: ChannelModel,
    private readonly queue: string,
    /** Unsettled deliveries that are handed out at one time. */
    private readonly limit: number,
    private readonly owner: DeliveryOwner,
    private readonly events: IntakeEvents,
  ) {
    this.batch = new WriteBatch(connection);
    // every copy that is under way listens to it
    setMaxListeners(0, this.lost);
    channel.on('close', () => this.lose());
  }

  get lost(): AbortSignal {
    return this.loss.signal;
  }

  /** Whether everything that it brought is settled, or lost. */
  get isIdle(): boolean {
    return this.outstanding.size === 0 && !this.sifting;
  }

  get isOpen(): boolean {
    return !this.lost.aborted;
  }

  /**
   * Has the broker send so many deliveries ahead, or none with 0; what was delivered can still be settled. One change at a
   * time, and the last wish counts: two consumers on one channel could not both be ended. What is settled from then on comes
   * to the broker after the change, unless that has to wait for another one.
   *
   * @throws what the broker says against consuming
   */
  tune(prefetch: number): Promise<void> {
    this.wanted = prefetch;
    const change = (): Promise<void> => this.change();
    const tuning = this.tuning ? this.tuning.then(change, change) : change();
    const forget = (): void => {
      if (this.tuning === tuning) this.tuning = undefined;
    };
    this.tuning = tuning;
    tuning.then(forget, forget);
    return tuning;
  }

  /** What it brings must pass that; to be called before it is tuned. */
  sift(sieve: RabbitMqSieve | undefined): void {
    this.sieve = sieve;
    if (!sieve || sieve.isSure || !this.isOpen) return;
    this.tellDoubt(sieve);
    this.looking = setInterval(() => {
      this.sifting ??= this.judge(sieve);
    }, LOOK_MS).unref();
  }

  /** Gives the channel up: what it brought comes again elsewhere. */
  abandon(): void {
    closeQuietly(this.channel);
    this.lose();
  }

  /**
   * Waits for all deliveries to settle; at the deadline aborts them and gives back what is left. Then the broker is given a
   * moment: a channel that is told of many outcomes at once passes on the first of them and keeps the others until those are
   * stored, and if it closes before, they are lost and the messages come again.
   */
  async drain(deadlineMs: number): Promise<void> {
    const end = Date.now() + deadlineMs;
    clearInterval(this.looking);
    if (this.sifting) await Promise.race([this.sifting, pause(deadlineMs, this.lost)]);
    await this.outstanding.drain(Math.max(0, end - Date.now()));
    if (this.told > PASSED_ON && this.isOpen) await pause(Math.min(PASS_ON_MS, Math.max(0, end - Date.now())));
  }

  /** @returns false when it can no longer be sent; then the broker delivers again */
  settle(delivery: RabbitMqDelivery, write: (channel: Channel) => void): boolean {
    if (!this.acknowledge(write)) return false;
    this.outstanding.delete(delivery);
    this.handOut(this.held.shift());
    return true;
  }

  /** @returns false when it can no longer be sent */
  private acknowledge(write: (channel: Channel) => void): boolean {
    if (!this.isOpen) return false;
    this.batch.begin();
    try {
      write(this.channel);
    } catch {
      return false; // the channel has just begun to close
    }
    this.told++;
    return true;
  }

  private async change(): Promise<void> {
    if (!this.isOpen || this.wanted === this.present) return;
    await this.cancel();
    if (!this.isOpen || this.wanted === 0) {
      for (const delivery of this.held.splice(0)) this.handOut(delivery);
      return;
    }
    const prefetch = this.wanted;
    await rpc(this.channel.prefetch(prefetch), 'set the prefetch');
    // the first deliveries come together with the answer
    const onMessage = (message: ConsumeMessage | null): void => this.onMessage(message);
    try {
      const { consumerTag } = await rpc(this.channel.consume(this.queue, onMessage), `consume "${this.queue}"`);
      this.tag = consumerTag;
      this.present = prefetch;
    } catch (error) {
      throw (error as ChannelError).code === 403
        ? accessRefused(`consume "${this.queue}"`, error as ChannelError)
        : error;
    }
  }

  private async cancel(): Promise<void> {
    const { tag } = this;
    if (tag === undefined) return;
    try {
      await rpc(this.channel.cancel(tag), 'cancel a consumer');
    } catch {
      // gone with its channel, or the broker is silent: either way nothing more must come from it
      this.abandon();
    }
    this.tag = undefined;
    this.present = 0;
  }

  private onMessage(message: ConsumeMessage | null): void {
    if (message === null) {
      this.tag = undefined;
      this.present = 0;
      this.events.onCancelled(this);
      return;
    }
    const { sieve } = this;
    if (!sieve || sieve.passes(message)) this.take(message);
    else if (sieve.isSure) this.drop(message);
    else {
      this.doubtful.push(message);
      this.sifting ??= this.judge(sieve);
    }
  }

  /** Many at a time: those that come while the broker is asked are judged with its next answer. Never rejects. */
  private async judge(sieve: RabbitMqSieve): Promise<void> {
    try {
      do {
        const messages = this.doubtful.splice(0);
        await sieve.renew(this.channel, messages.length > 0);
        this.tellDoubt(sieve);
        for (const message of messages) {
          if (!this.isOpen) return;
          if (sieve.passes(message)) this.take(message);
          else this.drop(message);
        }
      } while (this.doubtful.length > 0);
    } catch (error) {
      if (this.isOpen) this.events.onFailed(this, error); // all comes again
    } finally {
      this.sifting = undefined;
    }
  }

  private tellDoubt({ isInDoubt }: RabbitMqSieve): void {
    if (isInDoubt && !this.isInDoubt) this.events.onDoubt();
    this.isInDoubt = isInDoubt;
  }

  private drop(message: ConsumeMessage): void {
    if (this.acknowledge((channel) => channel.ack(message))) this.events.onDropped(returnsOf(message));
  }

  private take(message: ConsumeMessage): void {
    const delivery = new RabbitMqDelivery(this.owner, this, message);
    this.outstanding.add(delivery);
    if (this.outstanding.size - this.held.length > this.limit) this.held.push(delivery);
    else this.handOut(delivery);
  }

  private handOut(delivery: RabbitMqDelivery | undefined): void {
    if (delivery) this.events.onDelivery(delivery);
  }

  private lose(): void {
    if (!this.isOpen) return;
    const error = new ConnectionError('The channel of this delivery is gone; it comes again.');
    clearInterval(this.looking);
    this.loss.abort(error);
    this.held.length = 0;
    this.doubtful.length = 0;
    this.outstanding.lose(error);
  }
}
