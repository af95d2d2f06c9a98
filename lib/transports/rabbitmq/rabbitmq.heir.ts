import type { ConsumeEvents, Consumer, DeclareMode, Source } from '../../core/transport.js';
import { ownMode } from './rabbitmq.group-queues.js';
import { type Drain, RabbitMqSuccession, type SuccessionParts } from './rabbitmq.succession.js';

export interface HeirParts extends Omit<SuccessionParts, 'drain' | 'isByHand'> {
  /** How queues are declared, if their group says nothing else. */
  readonly declare: DeclareMode;
  /** Consumes `queue` for the group of `source`. */
  readonly consume: (source: Source, queue: string, events: ConsumeEvents, signal: AbortSignal) => Promise<Drain>;
}

/** The consumer of a group that had other names before, with what it takes over from them; they live and end together. */
export class RabbitMqHeir implements Consumer {
  private readonly successions: readonly RabbitMqSuccession[];

  constructor(
    private readonly own: Consumer,
    source: Source,
    events: ConsumeEvents,
    { consume, declare, ...parts }: HeirParts,
  ) {
    const { previous = [], unbind = [] } = source;
    const drain = (queue: string, signal: AbortSignal): Promise<Drain> => consume(source, queue, events, signal);
    const bindings = [...source.bindings, ...unbind];
    const groups = [source.group ?? source.owner, ...previous] as const;
    const isByHand = (ownMode(source) ?? declare) !== 'assert';
    const all = { ...parts, drain, isByHand };
    this.successions = previous.map((name) => new RabbitMqSuccession(all, groups, name, bindings));
    for (const succession of this.successions) succession.start();
  }

  get state(): Consumer['state'] {
    return this.own.state;
  }

  async pause(): Promise<void> {
    await Promise.all([this.own, ...this.successions].map((part) => part.pause()));
  }

  async resume(): Promise<void> {
    await Promise.all([this.own, ...this.successions].map((part) => part.resume()));
  }

  async close(options?: { readonly deadlineMs?: number }): Promise<void> {
    await Promise.all([this.own, ...this.successions].map((part) => part.close(options)));
  }
}
