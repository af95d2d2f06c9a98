import { ConfigurationError } from '../core/errors.js';
import type { MessageHead, Serializer } from '../core/serializer.js';
import { JsonSerializer } from './json.serializer.js';

export interface NestEnvelopeSerializerOptions {
  /**
   * Queues into which clients of `@nestjs/microservices` send by name, as they do without `wildcards`: the topic is then the
   * name of the queue, and the pattern stands in the envelope alone. What comes by them is an envelope, whatever its pattern
   * is. Default: none.
   */
  readonly queues?: readonly string[];
  /**
   * How payloads are written: in an `envelope` (default), for services that read it; or `plain`, when only what comes has
   * envelopes.
   */
  readonly write?: 'envelope' | 'plain';
}

/**
 * The envelope `{ pattern, data }` of `@nestjs/microservices` on RabbitMQ, for the time in which some services still use it:
 * their `@EventPattern` handlers understand what is published, and handlers here get the `data` of what their clients emit.
 *
 * An envelope is an object with `pattern`, at most `data` and `id` beside it, whose pattern is the topic of the message (an
 * object is compared as Nest writes it into a routing key) or whose topic is one of `queues`. Any other JSON passes as it
 * is, so that both kinds can come to one handler, and a payload that happens to have the names `pattern` and `data` is not
 * taken apart.
 *
 * @example
 * EventBusModule.forRoot({ serializer: new NestEnvelopeSerializer({ queues: ['orders'] }) })
 */
export class NestEnvelopeSerializer implements Serializer {
  readonly contentType = 'application/json';
  private readonly queues: ReadonlySet<string>;
  private readonly isPlain: boolean;
  private readonly json = new JsonSerializer();

  /** @throws ConfigurationError for options that cannot work */
  constructor({ queues = [], write = 'envelope' }: NestEnvelopeSerializerOptions = {}) {
    const problems: string[] = [];
    if (!Array.isArray(queues) || queues.some((queue) => typeof queue !== 'string' || queue === '')) {
      problems.push('NestEnvelopeSerializer: queues must be a list of names.');
    }
    if (write !== 'envelope' && write !== 'plain') {
      problems.push("NestEnvelopeSerializer: write must be 'envelope' or 'plain'.");
    }
    if (problems.length > 0) throw new ConfigurationError(problems);
    this.queues = new Set(queues);
    this.isPlain = write === 'plain';
  }

  encode(payload: unknown, { topic }: MessageHead): Uint8Array {
    if (this.isPlain) return this.json.encode(payload);
    return this.json.encode({ pattern: topic, data: payload === undefined ? null : payload });
  }

  decode(body: Uint8Array, { topic }: MessageHead): unknown {
    const value = this.json.decode(body);
    if (!isEnvelope(value)) return value;
    if (!this.queues.has(topic) && routeOf(value.pattern) !== topic) return value;
    // what is undefined is not in JSON
    return value.data === undefined ? null : value.data;
  }
}

interface Envelope {
  readonly pattern: unknown;
  readonly data?: unknown;
}

function isEnvelope(value: unknown): value is Envelope {
  if (typeof value !== 'object' || value === null || !Object.hasOwn(value, 'pattern')) return false;
  return Object.keys(value).every((name) => name === 'pattern' || name === 'data' || name === 'id');
}

/** The routing key that Nest makes of a pattern. */
function routeOf(pattern: unknown): string | undefined {
  return typeof pattern === 'string' ? pattern : JSON.stringify(pattern);
}
