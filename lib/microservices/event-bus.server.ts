import { type CustomTransportStrategy, type MessageHandler, Server } from '@nestjs/microservices';
import { DeadLetterService } from '../bus/dead-letter.service.js';
import type { EventBus } from '../bus/event-bus.js';
import { decoderOf } from '../bus/message-decoder.js';
import { qualify, type ResolvedOptions } from '../bus/resolved-options.js';
import { conceal } from '../concealed-options.js';
import { BusClosedError, ConfigurationError } from '../core/errors.js';
import { describeError } from '../core/failure.js';
import type { BusLogger } from '../core/logger.js';
import { onOneLine } from '../core/text.js';
import { createEventBus, type MadeBus } from '../create-event-bus.js';
import type { EventBusModuleOptions } from '../event-bus.lifecycle.js';
import { explainNestError } from '../nest-errors.js';
import { AnswerStreams } from '../rpc/answer-streams.js';
import { Cancellations } from '../rpc/cancellations.js';
import { Replier } from '../rpc/replier.js';
import type { Conversations } from '../rpc/request-run.js';
import { RunningRequests } from '../rpc/running-requests.js';
import { BorrowedTransport } from './borrowed.transport.js';
import { type EventBusConnectionStatus, followStatus } from './connection-status.js';
import { EventBusContext } from './event-bus.context.js';
import { handleEvent } from './event-handler.js';
import { type Behaviour, type PatternHandlers, PatternRegistry } from './pattern.registry.js';
import { handleRequest } from './request-handler.js';
import { classifyRpcError, RpcFailure, toReplyError } from './rpc-failure.js';

/** Options of the bus; a transport that is handed in ready-made stays open when the server closes. */
export type EventBusServerOptions = Omit<EventBusModuleOptions, 'globalEnhancers'>;

/** What handlers name that are for this transport alone: `@EventPattern('orders.*', EVENT_BUS_TRANSPORT_ID)`. */
export const EVENT_BUS_TRANSPORT_ID = Symbol('event-bus');

/** Names the record of its groups, beside that of an EventBusModule in the same application. */
const RECORD = 'microservice';

/**
 * Runs the `@EventPattern` and `@MessagePattern` handlers of an application on the event bus: with confirms, retries, dead
 * letters and a drain.
 *
 * @example
 * const strategy = new EventBusServer({ service: 'orders', transport: 'amqp://localhost' });
 * const app = await NestFactory.createMicroservice(AppModule, { strategy });
 * app.useGlobalFilters(new EventBusExceptionFilter());
 * await app.listen();
 * @publicApi
 */
export class EventBusServer
  extends Server<Record<string, never>, EventBusConnectionStatus>
  implements CustomTransportStrategy
{
  override transportId = EVENT_BUS_TRANSPORT_ID;
  /** The outcome of a handler decides over its delivery. Nest before 12 does not ask. */
  override readonly propagatesEventHandlerErrors = true;
  private readonly patterns = new PatternRegistry();
  private readonly options: EventBusServerOptions;
  private making: Promise<MadeBus> | undefined;
  private bus: EventBus | undefined;
  private letters: DeadLetterService | undefined;
  private streams: AnswerStreams | undefined;
  private readonly running = new RunningRequests();
  /** Stops telling the status: a transport that was handed in lives on. */
  private unfollow: (() => void) | undefined;
  private isClosed = false;
  private isWarned = false;

  /** @param options as for `EventBusModule.forRoot`; they are checked by `listen` */
  constructor(options: EventBusServerOptions = {}) {
    super();
    this.options = conceal(options);
  }

  /** Called by Nest for each handler that it finds. @throws ConfigurationError for a pattern that is a regular expression */
  override addHandler(
    pattern: unknown,
    callback: MessageHandler,
    isEventHandler = false,
    extras: Record<string, unknown> = {},
  ): void {
    if (pattern instanceof RegExp) {
      throw new ConfigurationError(
        `The pattern ${String(pattern)} is a regular expression, and no broker routes by them. Use * for one word and # for any number of them.`,
      );
    }
    const route = this.normalizePattern(pattern as string);
    callback.isEventHandler = isEventHandler;
    callback.extras = extras;
    // not chained as Nest does it: one that completes without a value would end the others
    if (!this.messageHandlers.has(route)) this.messageHandlers.set(route, callback);
    this.patterns.add(route, callback, isEventHandler, extras);
  }

  /** Connects, declares, consumes; then calls back, with the error if there is one. */
  async listen(callback: (error?: unknown) => unknown): Promise<void> {
    try {
      await this.open();
    } catch (error) {
      callback(error);
      return;
    }
    callback();
  }

  /** Takes nothing more, waits for the handlers that run, and closes: all by `shutdown.deadlineMs`. Idempotent. */
  async close(): Promise<void> {
    this.isClosed = true;
    const made = await this.making?.catch(() => undefined); // `listen` has told why
    await made?.bus.close();
    this.running.stop();
    await this.streams?.close();
    this.unfollow?.();
  }

  /** @throws ConfigurationError: there are no events to listen to besides `status` */
  on(event: string): never {
    throw new ConfigurationError(`EventBusServer has no event "${event}". Subscribe to status, or use unwrap().`);
  }

  /** The bus: to publish, for counters and `describe()`. @throws ConfigurationError before `listen` */
  unwrap<T = EventBus>(): T {
    if (!this.bus) throw new ConfigurationError('EventBusServer has no bus yet: listen() comes first.');
    return this.bus as T;
  }

  /** What the handlers of events could not handle: to list, to replay. @throws ConfigurationError before `listen` */
  get deadLetters(): DeadLetterService {
    if (!this.letters) throw new ConfigurationError('EventBusServer has no dead letters yet: listen() comes first.');
    return this.letters;
  }

  private async open(): Promise<void> {
    if (this.isClosed) throw new BusClosedError('listen');
    if (this.making) throw new ConfigurationError('EventBusServer listens already.');
    if ('globalEnhancers' in this.options) {
      throw new ConfigurationError('globalEnhancers is for EventBusModule; here it is inheritAppConfig of Nest.');
    }
    this.making = createEventBus(this.options, { borrow: (own) => new BorrowedTransport(own), record: RECORD });
    const made = await this.making;
    const { bus, options, transport, logger } = made;
    this.bus = bus;
    this.letters = new DeadLetterService(transport.deadLetters, decoderOf(made), (group) => qualify(options, group));
    this.unfollow = followStatus(transport.connection, (status) => this._status$.next(status));
    try {
      const names = { service: options.service, exchange: options.exchange.name };
      const replier = new Replier(made);
      const streams = new AnswerStreams(made);
      this.streams = streams;
      const registrations = this.patterns.registrations(names, (handlers) =>
        handlers.isEvent
          ? this.forEvents(handlers, logger)
          : this.forMessages(handlers, replier, { running: this.running, streams }, logger),
      );
      await bus.prepare(registrations);
      for (const { place, group } of registrations) logger.log(`Mapped ${place}, group ${group}`);
      if (this.patterns.hasMessages) await this.listenTo(new Cancellations(bus.control, logger), options);
      if (options.autoStart) await bus.start();
    } catch (error) {
      await bus.close(); // else a reconnecting transport would keep the failed process alive
      throw error;
    }
  }

  /** Never rejects. In the background it is not waited for, as nothing is. */
  private async listenTo(cancellations: Cancellations, { startup }: ResolvedOptions): Promise<void> {
    const heard = cancellations.listen((id) => this.running.cancel(id));
    if (startup.mode === 'wait') await heard;
  }

  private forEvents({ patterns, callbacks }: PatternHandlers, logger: BusLogger): Behaviour {
    const pattern = patterns.join(', ');
    return {
      invoke: async (payload, given) => {
        const context = new EventBusContext([given, pattern, false]);
        try {
          await this.inHooks(context, () => handleEvent(callbacks, payload, context));
        } catch (error) {
          if (error instanceof RpcFailure && error.isHidden) this.explainFilter(logger);
          throw error;
        }
      },
      classify: classifyRpcError,
      explain: explainNestError,
    };
  }

  /** What nobody waits for an answer to is handled like an event. */
  private forMessages(
    handlers: PatternHandlers,
    replier: Replier,
    conversations: Conversations,
    logger: BusLogger,
  ): Behaviour {
    const { patterns, callbacks } = handlers;
    const pattern = patterns.join(', ');
    const [callback] = callbacks;
    const asEvent = this.forEvents(handlers, logger);
    return {
      ...asEvent,
      invoke: (payload, given) => {
        const { message } = given;
        if (message.replyTo === undefined || !callback) return asEvent.invoke(payload, given);
        const answers = replier.open(message);
        const context = new EventBusContext([given, pattern, true]);
        return this.inHooks(context, () => handleRequest(callback, payload, context, given, answers, conversations));
      },
      refuse: (message, error) => {
        if (!replier.canAnswer(message)) return false;
        logger.warn(onOneLine(`Request "${message.topic}" (${message.id}) failed: ${describeError(error)}`));
        void replier.open(message).send({ kind: 'error', value: toReplyError(error) }); // never rejects
        return true;
      },
    };
  }

  /** Between the hooks by which tracing follows a handler. */
  private inHooks(context: EventBusContext, run: () => Promise<void>): Promise<void> {
    return new Promise((resolve, reject) => {
      const done = async (): Promise<void> => {
        await run()
          .finally(() => this.onProcessingEndHook?.(this.transportId, context))
          .then(resolve, reject);
      };
      this.onProcessingStartHook(this.transportId, context, done);
    });
  }

  private explainFilter(logger: BusLogger): void {
    if (this.isWarned) return;
    this.isWarned = true;
    logger.warn(
      'Nest keeps the errors of handlers to itself, so that what can never succeed is retried too. Register new EventBusExceptionFilter() with useGlobalFilters(). Said once.',
    );
  }
}
