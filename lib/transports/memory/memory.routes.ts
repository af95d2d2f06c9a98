import { type BindingIndex, ScanningIndex } from '../../core/binding-index.js';
import type { Exchange, ExchangeHandler } from '../../core/exchange.js';
import type { Message } from '../../core/message.js';
import type { MemoryQueue } from './memory.queue.js';

/** Topics whose queues are remembered; forgotten together, so that endless new topics cost no memory. */
const CACHE = 1_000;

/** Which queues get a message. The index finds them for any topic; what it found for the last topics is remembered. */
export class MemoryRoutes {
  /** By name of the exchange; each binding is judged by the handler that came with it. */
  private readonly indexes = new Map<string, Map<ExchangeHandler, BindingIndex<MemoryQueue>>>();
  /** How the bindings of a queue are taken away. */
  private readonly removals = new Map<MemoryQueue, readonly (() => void)[]>();
  private readonly cache = new Map<string, readonly MemoryQueue[]>();

  /** Takes over the bindings that a queue has now, in place of those that it had. */
  update(queue: MemoryQueue): void {
    this.remove(queue);
    this.removals.set(
      queue,
      queue.bindings.map((binding) => this.indexOf(binding.exchange).add(binding, queue)),
    );
  }

  remove(queue: MemoryQueue): void {
    for (const remove of this.removals.get(queue) ?? []) remove();
    this.removals.delete(queue);
    this.cache.clear();
  }

  /** The oldest queue first, each once. */
  find(exchange: Exchange, message: Message): readonly MemoryQueue[] {
    if (exchange.handler.usesHeaders) return this.search(exchange.name, message);
    const key = `${exchange.name}\n${message.topic}`;
    let queues = this.cache.get(key);
    if (!queues) {
      queues = this.search(exchange.name, message);
      if (this.cache.size >= CACHE) this.cache.clear();
      this.cache.set(key, queues);
    }
    return queues;
  }

  private search(exchange: string, message: Message): readonly MemoryQueue[] {
    const found = new Set<MemoryQueue>();
    for (const index of this.indexes.get(exchange)?.values() ?? [])
      for (const queue of index.find(message)) found.add(queue);
    return [...found].toSorted((a, b) => a.number - b.number);
  }

  private indexOf({ name, handler }: Exchange): BindingIndex<MemoryQueue> {
    const indexes = this.indexes.get(name) ?? new Map<ExchangeHandler, BindingIndex<MemoryQueue>>();
    this.indexes.set(name, indexes);
    const index = indexes.get(handler) ?? handler.createIndex?.<MemoryQueue>() ?? new ScanningIndex(handler);
    indexes.set(handler, index);
    return index;
  }
}
