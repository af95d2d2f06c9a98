import { MessageEncoder } from '../bus/message-encoder.js';
import { DEFAULTS, LIMITS } from '../core/limits.js';
import type { Transport } from '../core/transport.js';
import { JsonSerializer } from '../serializers/json.serializer.js';
import { SIGNAL, type SignalKind } from './rpc.wire.js';

/** Talks to those who answer in parts. */
export class SignalSender {
  private readonly encoder = new MessageEncoder({
    service: undefined,
    serializer: new JsonSerializer(),
    maxMessageBytes: LIMITS.messageBytes,
    maxDepth: DEFAULTS.maxDepth,
  });

  constructor(
    private readonly transport: Pick<Transport, 'publish' | 'canReply'>,
    private readonly timeoutMs: number,
  ) {}

  /** Never rejects: what is lost is said again with the next beat, and where nothing is heard the stream ends. */
  send(kind: SignalKind, address: string, requestId: string, count: number | null = null): void {
    if (!(this.transport.canReply?.(address) ?? true)) return; // an answer must not choose a queue
    const message = this.encoder.encode(SIGNAL[kind], count, { type: SIGNAL[kind], correlationId: requestId });
    const { timeoutMs } = this;
    this.transport.publish({ kind: 'reply', address }, message, { timeoutMs }).catch(() => undefined);
  }
}
