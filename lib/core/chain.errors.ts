import { EventBusError } from './event-bus.error.js';

/**
 * A handler published what would be too far from the first message of its chain; nothing was sent. Mostly handlers feed each
 * other in a circle. Not retried: the event that is being handled goes to the dead letters with the reason `chain-too-deep`.
 *
 * @publicApi
 */
export class ChainTooDeepError extends EventBusError {
  readonly topic: string;
  /** What that of the refused message would be. */
  readonly depth: number;

  constructor(topic: string, depth: number, limit: number) {
    super(
      'CHAIN_TOO_DEEP',
      `"${topic}" was not published: ${depth} handlers are at work one because of the other, and the limit is ${limit}. Look for handlers that publish what makes them run again; raise publish.maxDepth if the chain is meant.`,
    );
    this.topic = topic;
    this.depth = depth;
  }
}
