import type { FakeChannel } from './fake-broker.channel.js';
import type { Fields } from './fake-broker.wire.js';

export interface FakeMessage {
  readonly exchange: string;
  readonly routingKey: string;
  readonly mandatory: boolean;
  readonly properties: Fields;
  readonly body: Buffer;
}

export interface Entry {
  readonly message: FakeMessage;
  readonly redelivered: boolean;
}

export interface FakeConsumer {
  readonly tag: string;
  readonly channel: FakeChannel;
  readonly queue: FakeQueue;
  readonly noAck: boolean;
  /** Unsettled deliveries at one time; 0: any number. */
  readonly prefetch: number;
  held: number;
}

/** First in, first out, to its consumers in turn. */
export class FakeQueue {
  readonly entries: Entry[] = [];
  readonly consumers: FakeConsumer[] = [];

  constructor(
    readonly name: string,
    /** The connection whose end it does not outlive. */
    readonly owner: unknown,
  ) {}

  push(message: FakeMessage): void {
    this.entries.push({ message, redelivered: false });
    this.dispatch();
  }

  /** Back to the front, in the order in which they were delivered. */
  giveBack(messages: readonly FakeMessage[]): void {
    this.entries.unshift(...messages.map((message) => ({ message, redelivered: true })));
    this.dispatch();
  }

  dispatch(): void {
    while (this.entries.length > 0) {
      const next = this.consumers.find(({ prefetch, held }) => prefetch === 0 || held < prefetch);
      const entry = next && this.entries.shift();
      if (!entry) return;
      // whoever got one waits behind the others
      this.consumers.push(...this.consumers.splice(this.consumers.indexOf(next), 1));
      next.channel.deliver(next, entry);
    }
  }
}
