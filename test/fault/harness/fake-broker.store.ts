import { type FakeConsumer, type FakeMessage, FakeQueue } from './fake-broker.queue.js';
import { topicMatches } from './fake-broker.topic.js';

interface Binding {
  readonly queue: FakeQueue;
  readonly key: string;
}

interface FakeExchange {
  readonly type: string;
  bindings: readonly Binding[];
}

/** The exchanges, queues and bindings of a fake broker. */
export class FakeStore {
  /** Types of exchanges that it knows; a test may add to them. */
  readonly types = new Set(['topic', 'direct', 'fanout', 'headers']);
  private readonly queues = new Map<string, FakeQueue>();
  private readonly exchanges = new Map<string, FakeExchange>();

  hasExchange(name: string): boolean {
    return name === '' || this.exchanges.has(name);
  }

  typeOf(name: string): string | undefined {
    return this.exchanges.get(name)?.type;
  }

  declareExchange(name: string, type: string): void {
    if (!this.exchanges.has(name)) this.exchanges.set(name, { type, bindings: [] });
  }

  find(name: string): FakeQueue | undefined {
    return this.queues.get(name);
  }

  queue(name: string): FakeQueue {
    const queue = this.queues.get(name);
    if (!queue) throw new Error(`There is no queue "${name}". Known: ${[...this.queues.keys()].join(', ')}`);
    return queue;
  }

  consumersOf(name: string): readonly FakeConsumer[] {
    return this.queues.get(name)?.consumers ?? [];
  }

  declareQueue(name: string, owner?: unknown): FakeQueue {
    const queue = this.queues.get(name) ?? new FakeQueue(name, owner);
    this.queues.set(name, queue);
    return queue;
  }

  bind(name: string, exchangeName: string, key: string): void {
    const exchange = this.exchanges.get(exchangeName);
    if (!exchange) throw new Error(`There is no exchange "${exchangeName}".`);
    const queue = this.queue(name);
    if (exchange.bindings.some((known) => known.queue === queue && known.key === key)) return;
    exchange.bindings = [...exchange.bindings, { queue, key }];
  }

  /** Of a binding that is not there it is no fault. */
  unbind(name: string, exchangeName: string, key: string): void {
    const exchange = this.exchanges.get(exchangeName);
    if (!exchange) return;
    exchange.bindings = exchange.bindings.filter((known) => known.queue.name !== name || known.key !== key);
  }

  /** Its consumers are told. */
  removeQueue(name: string): void {
    const queue = this.queues.get(name);
    if (!queue) return;
    this.queues.delete(name);
    for (const exchange of this.exchanges.values()) {
      exchange.bindings = exchange.bindings.filter((binding) => binding.queue !== queue);
    }
    for (const { channel, tag } of [...queue.consumers]) channel.cancelConsumer(tag);
  }

  removeQueuesOf(owner: unknown): void {
    for (const queue of [...this.queues.values()]) if (queue.owner === owner) this.removeQueue(queue.name);
  }

  /** Where a message goes. */
  route({ exchange: name, routingKey }: FakeMessage): ReadonlySet<FakeQueue> {
    const direct = this.queues.get(routingKey);
    if (name === '') return new Set(direct ? [direct] : []);
    const { type, bindings } = this.exchanges.get(name) ?? { type: 'none', bindings: [] };
    const bound = bindings.filter(({ key }) => {
      if (type === 'fanout') return true;
      return type === 'topic' ? topicMatches(key, routingKey) : key === routingKey;
    });
    return new Set(bound.map(({ queue }) => queue));
  }
}
