import { type Delays, sooner } from '../../core/delays.js';
import type { Settlement } from '../../core/delivery.js';
import { Deque } from '../../core/deque.js';
import type { Binding } from '../../core/exchange.js';
import type { Message } from '../../core/message.js';
import type { DeadLetterRecord, Source } from '../../core/transport.js';
import type { MemoryConsumer } from './memory.consumer.js';

/** One message in one queue. */
export interface Entry {
  readonly message: Message;
  readonly attempt: number;
  readonly redelivered: boolean;
  readonly deferrals: number;
  readonly misses: number;
  readonly firstFailedAt?: number;
  /** It is the one of its ordering key that is being worked on. */
  readonly holdsKey?: boolean;
}

/** One group's copy of the events: ready messages, round robin among its consumers, retries by timer. */
export class MemoryQueue {
  private readonly ready = new Deque<Entry>();
  private readonly consumers: MemoryConsumer[] = [];
  /** Those that wait for their time, by the way to take them back. */
  private readonly waiting = new Map<() => void, { readonly entry: Entry; readonly at: number }>();
  /** Per ordering key that is being worked on: those that wait for it. */
  private readonly keys = new Map<string, Deque<Entry>>();
  private cursor = 0;
  private scheduled: NodeJS.Immediate | undefined;
  /** What may still be handed out in this turn of the event loop. */
  private budget = 0;
  private isContinuing = false;
  private isClosed = false;

  constructor(
    private source: Source,
    /** Later ones have larger ones. */
    readonly number: number,
    private readonly bury: (record: DeadLetterRecord) => void,
    /** As many as a publisher can bring in one turn, so that it cannot outrun consumers that keep up. */
    private readonly perTurn: number,
    private readonly delays: Delays,
  ) {}

  get isUsed(): boolean {
    return this.consumers.length > 0;
  }

  get depth(): number {
    return this.ready.size + this.waiting.size;
  }

  /** Whether it is about to hand something out. */
  get isMoving(): boolean {
    return this.ready.size > 0 && this.consumers.some((consumer) => consumer.isFree);
  }

  get bindings(): readonly Binding[] {
    return this.source.bindings;
  }

  accepts(exchange: string, message: Message): boolean {
    return this.source.bindings.some((b) => b.exchange.name === exchange && b.exchange.handler.matches(b, message));
  }

  /** Adds the bindings that it has not yet, as declaring twice does at a broker, and takes away those that are not wanted. */
  bind(source: Source): void {
    const known = new Set(this.source.bindings.map(bindingKey));
    const added = source.bindings.filter((binding) => !known.has(bindingKey(binding)));
    const unwanted = new Set(source.unbind?.map(bindingKey));
    const kept = this.source.bindings.filter((binding) => !unwanted.has(bindingKey(binding)));
    this.source = { ...source, bindings: [...kept, ...added] };
  }

  /** Takes over what another queue holds, waiting times included; that one is closed. */
  inherit(other: MemoryQueue): void {
    const waiting = [...other.waiting.values()];
    const behind = [...other.keys.values()].flatMap((entries) => [...entries.drain()]);
    for (const entry of [...other.ready.drain(), ...behind]) this.ready.push(entry);
    other.close();
    for (const { entry, at } of waiting) this.wait(entry, at - Date.now());
    this.pump();
  }

  push(message: Message): void {
    this.ready.push({ message, attempt: 1, redelivered: false, deferrals: 0, misses: 0 });
    this.pump();
  }

  join(consumer: MemoryConsumer): void {
    this.consumers.push(consumer);
    this.pump();
  }

  leave(consumer: MemoryConsumer): void {
    const index = this.consumers.indexOf(consumer);
    if (index >= 0) this.consumers.splice(index, 1);
  }

  settled(entry: Entry, outcome: Settlement): void {
    if (this.isClosed) return;
    switch (outcome.kind) {
      case 'retry':
        this.later(entry, outcome);
        break;
      case 'release':
        this.ready.unshift({ ...entry, redelivered: true, holdsKey: true });
        break;
      case 'dead':
        this.bury(toDeadLetter(entry, outcome));
        this.freeKey(entry);
        break;
      case 'ack':
        this.freeKey(entry);
        break;
    }
    if (this.ready.size > 0) this.proceed();
  }

  /** Handed out in a turn of its own: a publisher never runs a handler on its stack. */
  pump(): void {
    if (!this.isClosed) this.scheduled ??= setImmediate(this.deliver);
  }

  close(): void {
    this.isClosed = true;
    clearImmediate(this.scheduled);
    for (const cancel of this.waiting.keys()) cancel();
    this.waiting.clear();
  }

  /** A place is free: goes on in this turn, but leaves the event loop its share. */
  private proceed(): void {
    if (this.budget <= 0) this.pump();
    else if (!this.isContinuing) {
      this.isContinuing = true;
      queueMicrotask(this.hand);
    }
  }

  private readonly deliver = (): void => {
    this.scheduled = undefined;
    this.budget = this.perTurn;
    this.hand();
  };

  private readonly hand = (): void => {
    this.isContinuing = false;
    while (this.ready.size > 0 && !this.isClosed) {
      if (this.budget <= 0) {
        this.pump();
        return;
      }
      const consumer = this.nextFree();
      if (!consumer) return;
      const entry = this.ready.shift();
      this.budget--;
      if (entry && this.takeKey(entry)) consumer.take(entry);
    }
  };

  private nextFree(): MemoryConsumer | undefined {
    const count = this.consumers.length;
    for (let i = 0; i < count; i++) {
      const consumer = this.consumers[(this.cursor + i) % count];
      if (consumer?.isFree) {
        this.cursor = (this.cursor + i + 1) % count;
        return consumer;
      }
    }
    return undefined;
  }

  private later(entry: Entry, outcome: Extract<Settlement, { kind: 'retry' }>): void {
    const { dueAt, failure } = outcome;
    const next: Entry = {
      message: dueAt === undefined ? entry.message : Object.freeze({ ...entry.message, dueAt }),
      attempt: outcome.attempt,
      redelivered: true,
      deferrals: outcome.deferrals ?? entry.deferrals,
      misses: outcome.misses ?? entry.misses,
      ...(failure
        ? { firstFailedAt: entry.firstFailedAt ?? Date.now() }
        : entry.firstFailedAt && { firstFailedAt: entry.firstFailedAt }),
      holdsKey: true,
    };
    this.wait(next, outcome.delayMs);
  }

  private wait(entry: Entry, ms: number): void {
    const { group = this.source.deadLetterGroup } = this.source;
    const { attempt, message } = entry;
    const cancel = this.delays.later({ group, attempt, message }, ms, (skippedMs) => {
      this.waiting.delete(cancel);
      this.ready.push(skippedMs > 0 ? { ...entry, message: sooner(message, skippedMs) } : entry);
      this.pump();
    });
    this.waiting.set(cancel, { entry, at: Date.now() + ms });
  }

  /** False when another message of the same key is being worked on; then it waits behind that one. */
  private takeKey(entry: Entry): boolean {
    const { key } = entry.message;
    if (this.source.ordered !== 'key' || key === undefined || entry.holdsKey) return true;
    const behind = this.keys.get(key);
    if (behind) behind.push(entry);
    else this.keys.set(key, new Deque());
    return !behind;
  }

  private freeKey(entry: Entry): void {
    const { key } = entry.message;
    if (this.source.ordered !== 'key' || key === undefined) return;
    const next = this.keys.get(key)?.shift();
    if (next) this.ready.unshift({ ...next, holdsKey: true });
    else this.keys.delete(key);
  }
}

function bindingKey({ exchange, pattern, headers, match }: Binding): string {
  return JSON.stringify([exchange.name, pattern, headers, match]);
}

function toDeadLetter(entry: Entry, outcome: Extract<Settlement, { kind: 'dead' }>): DeadLetterRecord {
  const now = Date.now();
  return {
    message: entry.message,
    reason: outcome.reason,
    attempts: outcome.attempts ?? entry.attempt,
    firstFailedAt: entry.firstFailedAt ?? now,
    lastFailedAt: now,
    ...(outcome.failure && { failure: outcome.failure }),
  };
}
