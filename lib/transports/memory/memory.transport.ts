import { TIMERS } from '../../core/delays.js';
import { BusClosedError, ConfigurationError, PublishTimeoutError } from '../../core/errors.js';
import { DEFAULTS } from '../../core/limits.js';
import type { Message } from '../../core/message.js';
import { type Outgoing, PublishBacklog } from '../../core/publish-backlog.js';
import type {
  ConsumeEvents,
  Consumer,
  ReplyPath,
  Routed,
  Source,
  Target,
  Topology,
  Transport,
  TransportCapabilities,
  TransportPublishOptions,
} from '../../core/transport.js';
import { MemoryConnection } from './memory.connection.js';
import { MemoryConsumer } from './memory.consumer.js';
import { MemoryDeadLetters } from './memory.dead-letters.js';
import { copyOf } from './memory.message.js';
import type { MemorySettings } from './memory.options.js';
import { MemoryQueue } from './memory.queue.js';
import { MemoryRoutes } from './memory.routes.js';

const ROUTED: Routed = Object.freeze({ routed: true });
/** In the words of AMQP, so that nobody has to know what is underneath. */
const NOT_ROUTED: Routed = Object.freeze({
  routed: false,
  returned: Object.freeze({ code: 312, text: 'NO_ROUTE' }),
});
const USUAL: MemorySettings = Object.freeze({
  timeoutMs: DEFAULTS.publishTimeoutMs,
  window: DEFAULTS.publishWindow,
  messages: DEFAULTS.bufferMessages,
  bytes: DEFAULTS.bufferBytes,
  onFull: 'reject',
  retain: 0,
  delays: TIMERS,
});

/**
 * A broker in the process, as strict as a real one: asynchronous, a copy for each group, bounded, with retries and dead
 * letters. What it holds is gone with the process.
 */
export class MemoryTransport implements Transport {
  readonly name = 'memory';
  readonly capabilities: TransportCapabilities;
  readonly connection: MemoryConnection;
  readonly deadLetters = new MemoryDeadLetters((group) => this.queues.get(group));
  private readonly queues = new Map<string, MemoryQueue>();
  private readonly privateQueues = new Set<MemoryQueue>();
  private readonly consumers = new Set<MemoryConsumer>();
  private readonly replies = new Map<string, (message: Message) => void>();
  private readonly retained: { readonly exchange: string; readonly message: Message }[] = [];
  private readonly routes = new MemoryRoutes();
  private readonly backlog: PublishBacklog;
  private scheduled: NodeJS.Immediate | undefined;
  private closing: Promise<void> | undefined;
  private names = 0;

  private readonly settings: MemorySettings;

  /** @param settings what is absent is as a bus without options has it */
  constructor(settings: Partial<MemorySettings> = {}, connection = new MemoryConnection()) {
    this.settings = { ...USUAL, ...settings };
    this.connection = connection;
    this.capabilities = {
      durable: false,
      ordered: 'per-key',
      delay: 'exact',
      unroutable: true,
      replay: this.settings.retain > 0,
      exchangeTypes: ['topic', 'direct', 'fanout', 'headers', 'x-rtopic'],
    };
    this.backlog = new PublishBacklog<Target>(
      this.settings,
      [],
      (o) => new PublishTimeoutError(o.message.topic, o.timeoutMs, false),
    );
  }

  /** Whether a queue is about to hand something to a consumer. @internal */
  get isMoving(): boolean {
    return [...this.queues.values(), ...this.privateQueues].some((queue) => queue.isMoving);
  }

  async connect(topology: Topology): Promise<void> {
    this.assertOpen('connect');
    for (const source of topology.sources) this.groupQueue(source);
    this.connection.become('up');
    this.schedule();
  }

  async declare(source: Source): Promise<void> {
    this.assertOpen('declare');
    this.assertRules(source);
    if (source.group !== undefined) this.groupQueue(source);
  }

  publish(target: Target, message: Message, options?: TransportPublishOptions): Promise<Routed> {
    if (target.kind === 'exchange') target.exchange.handler.assertTopic(message.topic);
    const sent = this.backlog.add(target, message, options, this.settings.window);
    this.schedule();
    return sent;
  }

  async consume(source: Source, events: ConsumeEvents, signal?: AbortSignal): Promise<Consumer> {
    this.assertOpen('subscribe');
    signal?.throwIfAborted();
    const queue = source.group === undefined ? this.privateQueue(source) : this.groupQueue(source);
    const consumer = new MemoryConsumer(queue, source.prefetch, events, (closed) => {
      this.consumers.delete(closed);
      if (!this.privateQueues.delete(queue)) return;
      queue.close();
      this.routes.remove(queue);
    });
    this.consumers.add(consumer);
    return consumer;
  }

  async openReplies(onReply: (message: Message) => void): Promise<ReplyPath> {
    this.assertOpen('wait for replies');
    const address = `memory.reply.${++this.names}`;
    this.replies.set(address, onReply);
    return {
      address,
      publish: (target, message, options) => this.publish(target, message, options),
      close: async () => void this.replies.delete(address),
    };
  }

  describe(): Readonly<Record<string, unknown>> {
    return {
      transport: this.name,
      endpoint: this.connection.endpoint,
      state: this.connection.state,
      queues: Object.fromEntries([...this.queues].map(([name, queue]) => [name, queue.depth])),
    };
  }

  close({ deadlineMs = DEFAULTS.shutdownDeadlineMs }: { readonly deadlineMs?: number } = {}): Promise<void> {
    this.closing ??= this.stop(deadlineMs);
    return this.closing;
  }

  private async stop(deadlineMs: number): Promise<void> {
    await Promise.all([...this.consumers].map((consumer) => consumer.close({ deadlineMs })));
    this.backlog.stop();
    if (this.connection.state === 'up') this.flush();
    this.backlog.close(() => new BusClosedError('publish'));
    this.deadLetters.close();
    clearImmediate(this.scheduled);
    for (const queue of [...this.queues.values(), ...this.privateQueues]) queue.close();
    this.connection.become('closed');
  }

  private schedule(): void {
    if (this.connection.state === 'up') this.scheduled ??= setImmediate(this.flush);
  }

  private readonly flush = (): void => {
    this.scheduled = undefined;
    for (let next = this.backlog.shift(); next; next = this.backlog.shift()) {
      try {
        this.route(next);
      } catch (error) {
        next.reject(error); // a routing rule of the user's own that throws
      }
    }
  };

  private route(outgoing: Outgoing): void {
    const { target, message } = outgoing;
    if (target.kind === 'reply') {
      const onReply = this.replies.get(target.address);
      onReply?.(message);
      outgoing.resolve(onReply ? ROUTED : NOT_ROUTED);
      return;
    }
    if (target.kind === 'exchange') this.retain(target.exchange.name, message);
    const queues = target.kind === 'group' ? this.only(target.group) : this.routes.find(target.exchange, message);
    for (const [index, queue] of queues.entries()) {
      queue.push(index === 0 ? message : copyOf(message));
    }
    outgoing.resolve(queues.length > 0 ? ROUTED : NOT_ROUTED);
  }

  private only(group: string): readonly MemoryQueue[] {
    const queue = this.queues.get(group);
    return queue ? [queue] : [];
  }

  private retain(exchange: string, message: Message): void {
    if (this.settings.retain === 0) return;
    this.retained.push({ exchange, message: copyOf(message) });
    if (this.retained.length > this.settings.retain) this.retained.shift();
  }

  private assertRules(source: Source): void {
    for (const binding of source.bindings) binding.exchange.handler.assertRule(binding);
    if (source.startFrom === 'earliest' && !this.capabilities.replay) {
      throw new ConfigurationError(
        `startFrom 'earliest' needs a transport that keeps messages; for memory set { retain: n }.`,
      );
    }
  }

  private groupQueue(source: Source): MemoryQueue {
    const group = source.group ?? '';
    this.assertRules(source);
    const existing = this.queues.get(group);
    if (existing) {
      existing.bind(source);
      this.routes.update(existing);
      return existing;
    }
    const queue = this.newQueue(source, group);
    this.queues.set(group, queue);
    for (const previous of source.previous ?? []) this.takeOver(previous, group, queue);
    return queue;
  }

  /** One that is still consumed keeps what it has. */
  private takeOver(previous: string, group: string, queue: MemoryQueue): void {
    const old = this.queues.get(previous);
    if (!old || old.isUsed) return;
    this.queues.delete(previous);
    this.routes.remove(old);
    queue.inherit(old);
    this.deadLetters.move(previous, group);
  }

  private privateQueue(source: Source): MemoryQueue {
    this.assertRules(source);
    const queue = this.newQueue(source, source.deadLetterGroup);
    this.privateQueues.add(queue);
    return queue;
  }

  private newQueue(source: Source, deadLetterGroup: string): MemoryQueue {
    const queue = new MemoryQueue(
      source,
      ++this.names,
      (letter) => this.deadLetters.bury(deadLetterGroup, letter),
      this.settings.window,
      this.settings.delays,
    );
    this.routes.update(queue);
    if (source.startFrom === 'earliest') {
      for (const { exchange, message } of this.retained)
        if (queue.accepts(exchange, message)) queue.push(copyOf(message));
    }
    return queue;
  }

  private assertOpen(what: string): void {
    if (this.closing) throw new BusClosedError(what);
  }
}
