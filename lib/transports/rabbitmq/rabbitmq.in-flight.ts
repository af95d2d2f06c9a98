import { LinkedList } from '../../core/linked-list.js';
import type { Outgoing } from '../../core/publish-backlog.js';
import type { RabbitMqReturn } from './rabbitmq.return.js';
import type { AmqpTarget } from './rabbitmq.target.js';

type Publish = Outgoing<AmqpTarget>;

/**
 * What is with the broker and not confirmed, in the order in which it was sent. No Set: the tables that one outgrows refer to each
 * other in V8, so that what has ever been in it would live on until all garbage is collected.
 */
export class RabbitMqInFlight implements Iterable<Publish> {
  private readonly publishes = new LinkedList<Publish>();

  get size(): number {
    return this.publishes.size;
  }

  add(publish: Publish): void {
    publish.isInFlight = true;
    this.publishes.add(publish);
  }

  /** @returns whether it was there */
  delete(publish: Publish): boolean {
    if (!publish.isInFlight) return false;
    publish.isInFlight = false;
    this.publishes.remove(publish);
    return true;
  }

  /** Takes out everything. */
  drain(): readonly Publish[] {
    const all = this.publishes.drain();
    for (const publish of all) publish.isInFlight = false;
    return all;
  }

  /** The broker has given one back. That comes before its confirm, so the match is near the front. */
  return(returned: RabbitMqReturn): void {
    for (const publish of this.publishes) {
      if (publish.returned || !returned.isOf(publish.target, publish.message)) continue;
      publish.returned = returned.reply;
      return;
    }
  }

  [Symbol.iterator](): IterableIterator<Publish> {
    return this.publishes[Symbol.iterator]();
  }
}
