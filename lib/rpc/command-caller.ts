import type { BusExchanges } from '../bus/bus-exchanges.js';
import type { EventBusParts } from '../bus/event-bus.parts.js';
import type { HandlerContext } from '../bus/event-context.js';
import type { EventRegistry, NamedEvent } from '../bus/event-registry.js';
import { decoderOf } from '../bus/message-decoder.js';
import { encodingOf, MessageEncoder, type MessageOptions } from '../bus/message-encoder.js';
import { MESSAGE_CHECKS } from '../bus/publish-option-checks.js';
import { ConfigurationError, RequestTimeoutError } from '../core/errors.js';
import { DEFAULTS, LIMITS } from '../core/limits.js';
import { abortSignal, assertValid, integer, shape } from '../core/options.js';
import { compose } from '../core/pipeline.js';
import { validate } from '../core/schema.js';
import type { Routed, Target } from '../core/transport.js';
import { type Abortable, AbortableAnswer, type Signals } from './abortable-answer.js';
import { AwaitedAnswer } from './awaited-answer.js';
import type { OutgoingCommand, RequestAllOptions, RequestOptions, RequestStreamOptions } from './command-options.js';
import { toRemoteError } from './remote-failure.js';
import { ReplyReader, type ReplyStream } from './reply-reader.js';
import type { OpenStream, Request, RequestEvents } from './request.js';
import { Requester, type SendRequest } from './requester.js';
import type { Reply } from './rpc.wire.js';
import { SharedSignals } from './shared-signals.js';

const NO_OPTIONS: RequestStreamOptions = Object.freeze({});
const CHECKS = {
  ...MESSAGE_CHECKS,
  timeoutMs: integer(1, 86_400_000),
  signal: abortSignal,
} as const;
const REQUEST_SHAPE = shape(CHECKS);
const STREAM_SHAPE = shape({ ...CHECKS, window: integer(1, LIMITS.streamCredit) });

const NO_SIGNALS: Signals = Object.freeze([]);

interface Call extends Abortable {
  readonly event: NamedEvent;
  readonly options: RequestStreamOptions;
  /** The handler that asks. */
  readonly outer: HandlerContext | undefined;
  readonly message: MessageOptions;
}

export interface CallerOptions {
  readonly registry: EventRegistry;
  readonly exchanges: BusExchanges;
  /** Whether only this process would answer what is in a queue, and not yet. */
  readonly isForItself: (queue: string) => boolean;
  readonly onAbandoned: (requestId: string) => void;
}

/** Asks for answers. */
export class CommandCaller {
  private readonly requester: Requester;
  private readonly shared = new SharedSignals();

  constructor(
    private readonly parts: EventBusParts,
    private readonly options: CallerOptions,
  ) {
    const { transport, options: resolved, publishMiddleware = [] } = parts;
    this.requester = new Requester({
      transport,
      encoder: new MessageEncoder(encodingOf(parts)),
      decoder: decoderOf(parts),
      timeoutMs: resolved.request.timeoutMs,
      send: sendThrough(publishMiddleware),
      onAbandoned: options.onAbandoned,
    });
  }

  /** How many answers are waited for. */
  get pending(): number {
    return this.requester.size;
  }

  request(first: string | object, second: unknown, third: RequestOptions | undefined): Promise<unknown> {
    try {
      return this.ask(this.options.registry.toEvent(first, second, third));
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** It belongs to the handler that calls this, wherever it is read. */
  requestStream<R>(first: string | object, second: unknown, third: RequestStreamOptions | undefined): ReplyStream<R> {
    let call: Call;
    try {
      const event = this.options.registry.toEvent(first, second, third);
      if (event.options !== undefined) assertValid(STREAM_SHAPE, event.options, 'requestStream options');
      call = this.callOf(event);
    } catch (error) {
      return new ReplyReader(() => Promise.reject(error));
    }
    return new ReplyReader((events) => this.startStream(call, events), call.signals, this.shared);
  }

  requestOne(command: OutgoingCommand, common: Omit<RequestAllOptions, 'concurrency'>): Promise<unknown> {
    if (typeof command !== 'object' || command === null) return Promise.reject(noCommand(command));
    if (!isSpelledOut(command)) return this.request(command, common, undefined);
    const { payload, options } = command;
    return this.request(command.command, payload, { ...common, ...options });
  }

  close(): Promise<void> {
    return this.requester.close();
  }

  /** Without a schema that may take its time, all in one go: promises are what a request costs most. */
  private ask(event: NamedEvent): Promise<unknown> {
    if (event.options !== undefined) assertValid(REQUEST_SHAPE, event.options, 'request options');
    const call = this.callOf(event);
    const target = this.targetOf(call);
    if (event.definition?.schema) return this.askChecked(call, target);
    return this.wait(this.requestOf(call, target, event.payload), call);
  }

  private async askChecked(call: Call, target: Target): Promise<unknown> {
    return this.wait(this.requestOf(call, target, await checked(call.event)), call);
  }

  private async startStream(call: Call, events: RequestEvents): Promise<OpenStream> {
    const { topic } = call.event;
    const onReply = (reply: Reply): void => {
      if (reply.kind === 'error') events.onError(toRemoteError(topic, reply.value));
      else events.onReply(reply);
    };
    const target = this.targetOf(call);
    const request = this.requestOf(call, target, await checked(call.event));
    for (const signal of call.signals) signal.throwIfAborted();
    const stream = this.requester.openStream(
      request,
      { ...events, onReply },
      call.options.window ?? DEFAULTS.streamWindow,
    );
    const stop = (): void => {
      stream.stop();
      call.abort?.abort();
    };
    return { take: stream.take, stop };
  }

  private callOf(event: NamedEvent): Call {
    const options: RequestStreamOptions = event.options ?? NO_OPTIONS;
    const { scope } = this.parts;
    const outer = scope.current;
    const { signal } = options;
    const abort = outer || signal ? new AbortController() : undefined;
    const message = scope.inherit(options);
    return {
      event,
      options,
      outer,
      message: abort ? { ...message, signal: abort.signal } : message,
      signals: abort ? [outer?.signal, signal].filter((one) => one !== undefined) : NO_SIGNALS,
      abort,
    };
  }

  /** @throws ConfigurationError for what only this process would answer, and not yet */
  private targetOf({ event: { topic } }: Call): Target {
    const target = this.options.exchanges.commandTarget(topic);
    if (this.options.isForItself(target.group)) throw forItself(topic);
    return target;
  }

  /** @throws RequestTimeoutError when whoever waits for the handler that asks does so no longer */
  private requestOf({ event, options, outer, message }: Call, target: Target, payload: unknown): Request {
    const { topic, definition } = event;
    const { timeoutMs = this.parts.options.request.timeoutMs } = options;
    const startMs = leftOf(outer, topic, timeoutMs);
    return { topic, target, payload, definition, message, timeoutMs, startMs };
  }

  private wait(request: Request, call: Call): Promise<unknown> {
    const { signals } = call;
    for (const signal of signals) signal.throwIfAborted();
    return new Promise((resolve, reject) => {
      const answer = new AwaitedAnswer(request.topic, resolve, reject);
      if (signals.length === 0) this.requester.open(request, answer);
      else new AbortableAnswer(answer, call, this.shared, this.requester).begin(request);
    });
  }
}

/** What is left of the time of whoever waits for the handler that asks. */
function leftOf(outer: HandlerContext | undefined, topic: string, timeoutMs: number): number {
  const answerBy = outer?.answerBy;
  if (answerBy === undefined) return timeoutMs;
  const leftMs = Math.min(timeoutMs, answerBy - Date.now());
  if (leftMs < 1) throw new RequestTimeoutError(topic, 0);
  return leftMs;
}

async function checked({ topic, payload, definition }: NamedEvent): Promise<unknown> {
  const schema = definition?.schema;
  return schema ? validate(schema, payload, `The payload for "${topic}"`) : payload;
}

function forItself(topic: string): Error {
  return new ConfigurationError(
    `"${topic}" is handled by this application, whose consumers start when all modules have bootstrapped: a request during the bootstrap would wait for itself. Ask later, or call the handler directly.`,
  );
}

/** Of a caller without types. */
function noCommand(given: unknown): Error {
  return new ConfigurationError(
    `requestAll() takes objects of command classes, or { command, payload }, and no ${given === null ? 'null' : typeof given}.`,
  );
}

function isSpelledOut(command: OutgoingCommand): command is Extract<OutgoingCommand, { readonly command: unknown }> {
  const prototype: unknown = Object.getPrototypeOf(command);
  return (prototype === Object.prototype || prototype === null) && 'command' in command;
}

/** With what stands around each publish: tracing, for example. */
function sendThrough(middleware: NonNullable<EventBusParts['publishMiddleware']>): SendRequest | undefined {
  if (middleware.length === 0) return undefined;
  const around = compose(middleware);
  return async (path, target, message, options) => {
    const context = { message };
    let routed: Routed | undefined;
    await around(context, async () => {
      routed = await path.publish(target, context.message, options);
    });
    if (!routed)
      throw new ConfigurationError('A publish middleware did not call next(); throw an error to refuse a message.');
    return routed;
  };
}
