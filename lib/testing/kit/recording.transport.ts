import type { Delays } from '../../core/delays.js';
import type { Message } from '../../core/message.js';
import type { Routed, Target, TransportPublishOptions } from '../../core/transport.js';
import { MemoryTransport } from '../../transports/memory/memory.transport.js';

export interface RecordingOptions {
  readonly window: number;
  readonly retain: number;
  readonly delays: Delays;
  /** Told of each message that was taken, in order, before whoever published it. Must not throw. */
  readonly onPublished: (target: Target, message: Message, routed: Routed) => void;
  /** Told when a publish has ended. Must not throw. */
  readonly onChange: () => void;
}

/** The transport in memory, which says what passes. */
export class RecordingTransport extends MemoryTransport {
  private underWay = 0;

  constructor(private readonly recording: RecordingOptions) {
    super({ window: recording.window, retain: recording.retain, delays: recording.delays });
  }

  /** How many publishes have not ended. */
  get publishing(): number {
    return this.underWay;
  }

  override async publish(target: Target, message: Message, options?: TransportPublishOptions): Promise<Routed> {
    const { onPublished, onChange } = this.recording;
    this.underWay++;
    try {
      const routed = await super.publish(target, message, options);
      onPublished(target, message, routed);
      return routed;
    } finally {
      this.underWay--;
      onChange();
    }
  }
}
