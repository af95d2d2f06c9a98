import type { EventBusParts } from '../../bus/event-bus.parts.js';
import { decoderOf, type MessageDecoder } from '../../bus/message-decoder.js';
import { qualify, type ResolvedOptions } from '../../bus/resolved-options.js';
import type { Delivery, Settlement } from '../../core/delivery.js';
import type { Message } from '../../core/message.js';
import type { Routed, Target } from '../../core/transport.js';
import { EventBusService } from '../../event-bus.service.js';
import type { HeldDelays, PendingDelivery } from './held-delays.js';
import { RecordingTransport } from './recording.transport.js';
import { TestLedger } from './test-ledger.js';
import { type PublishedRecord, recordOf } from './test-records.js';

export interface BusProbeOptions {
  readonly name: string;
  readonly options: ResolvedOptions;
  readonly retain: number;
  readonly delays: HeldDelays;
  readonly onChange: () => void;
}

/** One bus of the application under test, and what is seen of it. */
export class BusProbe {
  readonly ledger = new TestLedger();
  readonly transport: RecordingTransport;
  /** Exchanges of which what comes there is no event. */
  private readonly kinds = new Map<string, 'broadcast' | 'unrecorded'>();
  private live: { readonly bus: EventBusService; readonly decoder: MessageDecoder } | undefined;

  constructor(private readonly settings: BusProbeOptions) {
    const { name, options, retain, delays, onChange } = settings;
    const { window } = options.publish;
    this.transport = new RecordingTransport({
      window,
      retain,
      delays: delays.of(name),
      onPublished: (target, message, routed) => this.onPublished(target, message, routed),
      onChange,
    });
    for (const exchange of [options.exchange, ...options.exchanges]) {
      this.kinds.set(qualify(options, `${exchange.name}.broadcast`), 'broadcast');
      // the second way of a message that no group got: it is recorded already
      this.kinds.set(qualify(options, `${exchange.name}.ae`), 'unrecorded');
    }
  }

  createBus(parts: EventBusParts): EventBusService {
    const { name, delays, onChange } = this.settings;
    const bus = new EventBusService({
      ...parts,
      delays: delays.of(name),
      watch: {
        settled: (group, delivery, outcome) => {
          this.onSettled(group, delivery, outcome);
          onChange();
        },
      },
    });
    this.live = { bus, decoder: decoderOf(parts) };
    return bus;
  }

  async close(): Promise<void> {
    await this.live?.bus.close();
  }

  get name(): string {
    return this.settings.name;
  }

  /** What is under way here and is not waiting for a later time; empty when there is nothing. */
  get movements(): readonly string[] {
    const { isMoving } = this.transport;
    const stats = this.live?.bus.stats();
    const groups = Object.entries(stats?.groups ?? {}).filter(([, { running, waiting }]) => running + waiting > 0);
    // an answer, or a request, is known to the transport only; what a schema or a middleware still looks at, to the bus only
    const begun = stats ? stats.published - stats.confirmed - stats.failed : 0;
    const publishing = Math.max(begun, this.transport.publishing);
    return [
      ...(publishing > 0 ? [`${publishing} being published`] : []),
      ...(isMoving ? ['deliveries on their way'] : []),
      ...groups.map(([group, { running, waiting }]) => `${group} (${running} running, ${waiting} waiting to run)`),
    ];
  }

  get pending(): readonly PendingDelivery[] {
    const { delays, name, options } = this.settings;
    const prefix = qualify(options, '');
    return delays
      .pending(name)
      .map((one) => (one.group.startsWith(prefix) ? { ...one, group: one.group.slice(prefix.length) } : one));
  }

  private onPublished(target: Target, message: Message, { routed }: Routed): void {
    const kind = this.kindOf(target);
    if (kind) this.ledger.add('published', this.record(message, { kind, routed }));
  }

  /** Undefined of what is not recorded: a reply belongs to its request. */
  private kindOf(target: Target): PublishedRecord['kind'] | undefined {
    if (target.kind === 'reply') return undefined;
    if (target.kind === 'group') return 'command';
    const kind = this.kinds.get(target.exchange.name) ?? 'event';
    return kind === 'unrecorded' ? undefined : kind;
  }

  private onSettled(group: string, { message, attempt }: Delivery, outcome: Settlement): void {
    const { ledger } = this;
    if (outcome.kind === 'ack' && outcome.unhandled === undefined)
      ledger.add('handled', this.record(message, { group, attempt }));
    if (outcome.kind !== 'release' && outcome.failure)
      ledger.add('failed', this.record(message, { group, attempt, error: outcome.failure }));
    if (outcome.kind !== 'dead') return;
    const { reason, attempts = attempt, failure: error } = outcome;
    ledger.add('dead', this.record(message, { group, attempts, reason, error }));
  }

  private record<F extends object>(message: Message, fields: F): ReturnType<typeof recordOf<F>> {
    const { live } = this;
    return recordOf(message, (m) => live?.decoder.decode(m), fields);
  }
}
