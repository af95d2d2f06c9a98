import { MessageEncoder } from '../../../lib/bus/message-encoder.js';
import type { Message } from '../../../lib/core/message.js';
import type { ConnectionState, ReplyOptions, ReplyPath, Routed, Target } from '../../../lib/core/transport.js';
import { JsonSerializer } from '../../../lib/serializers/json.serializer.js';
import { FakeTransport } from './fake.transport.js';

export const serializer = new JsonSerializer();
export const encoder = new MessageEncoder({ service: 'shop', serializer, maxMessageBytes: 1_000, maxDepth: 10 });

/** A transport whose replies and state are the test's. */
export class ReplyLine extends FakeTransport {
  readonly requests: { readonly target: Target; readonly message: Message }[] = [];
  opened = 0;
  closedPaths = 0;
  opening: () => Promise<void> = async () => undefined;
  sending: () => Promise<Routed> = async () => ({ routed: true });
  replyOptions: ReplyOptions = {};
  private onReply: ((message: Message) => void) | undefined;
  private readonly listeners = new Set<(state: ConnectionState) => void>();

  constructor() {
    super();
    this.connection.onStateChange = (listener?: (state: ConnectionState) => void) => {
      if (listener) this.listeners.add(listener);
      return () => void (listener && this.listeners.delete(listener));
    };
  }

  override async openReplies(onReply?: (message: Message) => void, options: ReplyOptions = {}): Promise<ReplyPath> {
    this.opened++;
    this.replyOptions = options;
    this.onReply = onReply;
    await this.opening();
    return {
      address: 'back',
      publish: (target, message) => {
        this.requests.push({ target, message });
        return this.sending();
      },
      close: async () => void this.closedPaths++,
    };
  }

  /** @param over what else its message says */
  answer(correlationId: string | undefined, type: string, payload: unknown, over: Partial<Message> = {}): void {
    const message = encoder.encode('back', payload, { correlationId: correlationId ?? '', type });
    this.onReply?.({ ...message, ...over });
  }

  become(state: ConnectionState): void {
    for (const listener of this.listeners) listener(state);
  }
}
