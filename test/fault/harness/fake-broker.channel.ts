import type { FakeLink } from './fake-broker.link.js';
import type { Entry, FakeConsumer, FakeMessage, FakeQueue } from './fake-broker.queue.js';
import { encodeContent, type Fields, type MethodName } from './fake-broker.wire.js';

const BASIC_CLASS = 60;
const PUBLISH = 40;

/** How much of a message comes back with `basic.return`: all, a header that says there is no body, or the method alone. */
export type ReturnedPart = 'whole' | 'empty' | 'bare';

interface Unacked {
  readonly consumer: FakeConsumer;
  readonly message: FakeMessage;
}

/** The broker's end of one channel: its state, and all that a test can send on it. */
export class FakeChannel {
  isConfirming = false;
  /** Of what a service writes down for itself: nothing that a test counts or scripts. */
  isBookkeeping = false;
  /** Messages published on it: the number that the next confirm can name. */
  published = 0;
  prefetch = 0;
  /** Since `close`: nothing counts until the client agrees. */
  isClosing = false;
  readonly consumers = new Map<string, FakeConsumer>();
  readonly unacked = new Map<number, Unacked>();
  private delivered = 0;
  /** Given back with their consumer: what the client says of them still is no fault. */
  private readonly forgiven = new Set<number>();

  constructor(
    readonly link: FakeLink,
    readonly id: number,
  ) {}

  send(method: MethodName, fields: Fields = {}): void {
    this.link.send(method, this.id, fields);
  }

  confirm(deliveryTag: number, multiple = false): void {
    this.send('BasicAck', { deliveryTag, multiple });
  }

  refuse(deliveryTag: number, multiple = false): void {
    this.send('BasicNack', { deliveryTag, multiple, requeue: false });
  }

  returnMessage({ exchange, routingKey, properties, body }: FakeMessage, part: ReturnedPart = 'whole'): void {
    this.send('BasicReturn', { replyCode: 312, replyText: 'NO_ROUTE', exchange, routingKey });
    if (part !== 'bare') this.sendContent(properties, part === 'whole' ? body : Buffer.alloc(0));
  }

  deliver(consumer: FakeConsumer, entry: Entry): void {
    const { redelivered, message } = entry;
    const { exchange, routingKey } = message;
    const deliveryTag = this.take(consumer, entry);
    this.send('BasicDeliver', { consumerTag: consumer.tag, deliveryTag, redelivered, exchange, routingKey });
    this.sendContent(message.properties, message.body);
  }

  /** To whoever asks for one message; a consumer of no name stands for it. */
  handOut(taker: FakeConsumer, entry: Entry, messageCount: number): void {
    const { redelivered, message } = entry;
    const { exchange, routingKey } = message;
    const deliveryTag = this.take(taker, entry);
    this.send('BasicGetOk', { deliveryTag, redelivered, exchange, routingKey, messageCount });
    this.sendContent(message.properties, message.body);
  }

  /** Takes a consumer away, as when its queue is deleted or its delivery is held for too long; the channel stays. */
  cancelConsumer(consumerTag: string): void {
    const consumer = this.consumers.get(consumerTag);
    if (!consumer) throw new Error(`There is no consumer "${consumerTag}".`);
    this.removeConsumer(consumer);
    this.send('BasicCancel', { consumerTag, nowait: true });
    for (const [tag, unacked] of this.unacked) if (unacked.consumer === consumer) this.forgiven.add(tag);
    this.giveBack((unacked) => unacked.consumer === consumer);
  }

  /** Closes it as a broker does for a fault of the client. */
  close(replyCode: number, replyText: string): void {
    this.isClosing = true;
    this.send('ChannelClose', { replyCode, replyText, classId: BASIC_CLASS, methodId: PUBLISH });
    this.end();
  }

  /** @returns whether there is, or was, such a delivery */
  settle(deliveryTag: number, multiple: boolean, isRequeued: boolean): boolean {
    const tags = multiple ? [...this.unacked.keys()].filter((tag) => tag <= deliveryTag) : [deliveryTag];
    const settled = new Set(tags.flatMap((tag) => this.unacked.get(tag) ?? []));
    if (settled.size === 0) return this.forgiven.has(deliveryTag);
    const queues = new Set([...settled].map(({ consumer }) => consumer.queue));
    if (isRequeued) this.giveBack((unacked) => settled.has(unacked));
    else for (const tag of tags) this.forget(tag);
    for (const queue of queues) queue.dispatch();
    return true;
  }

  removeConsumer(consumer: FakeConsumer): void {
    const { consumers } = consumer.queue;
    this.consumers.delete(consumer.tag);
    if (consumers.includes(consumer)) consumers.splice(consumers.indexOf(consumer), 1);
  }

  /** It is gone: what it held goes back to the queues. */
  end(): void {
    for (const consumer of [...this.consumers.values()]) this.removeConsumer(consumer);
    this.giveBack(() => true);
  }

  private take(consumer: FakeConsumer, { message }: Entry): number {
    const deliveryTag = ++this.delivered;
    if (!consumer.noAck) {
      this.unacked.set(deliveryTag, { consumer, message });
      consumer.held++;
    }
    return deliveryTag;
  }

  private giveBack(which: (unacked: Unacked) => boolean): void {
    const returned = new Map<FakeQueue, FakeMessage[]>();
    for (const [tag, unacked] of [...this.unacked]) {
      if (!which(unacked)) continue;
      this.forget(tag);
      const { queue } = unacked.consumer;
      returned.set(queue, [...(returned.get(queue) ?? []), unacked.message]);
    }
    for (const [queue, messages] of returned) queue.giveBack(messages);
  }

  private forget(tag: number): void {
    const unacked = this.unacked.get(tag);
    if (!unacked) return;
    this.unacked.delete(tag);
    unacked.consumer.held--;
  }

  private sendContent(properties: Fields, body: Buffer): void {
    this.link.write(encodeContent(this.id, properties, body, this.link.frameMax));
  }
}
