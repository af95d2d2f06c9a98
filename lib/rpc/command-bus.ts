import type { Command, CommandClass, CommandDefinition } from '../bus/command-definition.js';
import { EventBus } from '../bus/event-bus.js';
import type { EventBusParts } from '../bus/event-bus.parts.js';
import type { EventBusStats } from '../bus/event-bus.stats.js';
import type { HandlerRegistration } from '../bus/group-definition.js';
import type { PublishReceipt } from '../bus/publish-options.js';
import { AnswerStreams } from './answer-streams.js';
import { Cancellations } from './cancellations.js';
import { CommandCaller } from './command-caller.js';
import type {
  OutgoingCommand,
  RequestAllOptions,
  RequestOptions,
  RequestStreamOptions,
  SendOptions,
} from './command-options.js';
import { Replier } from './replier.js';
import type { ReplyStream } from './reply-reader.js';
import { RequestHandler } from './request.handler.js';
import { requestAll } from './request-all.js';
import { RunningRequests } from './running-requests.js';

/** The bus with what has exactly one receiver: commands, and the answers to them. */
export class CommandBus extends EventBus {
  private readonly caller: CommandCaller;
  private readonly running = new RunningRequests();
  private readonly streams: AnswerStreams;
  private readonly handler: RequestHandler;
  private readonly cancellations: Cancellations;
  private handlesCommands = false;

  constructor(parts: EventBusParts) {
    super(parts);
    const { transport, serializer, options, logger } = parts;
    this.cancellations = new Cancellations(this.control, logger);
    this.caller = new CommandCaller(parts, {
      registry: this.registry,
      exchanges: this.exchanges,
      isForItself: (queue) => this.isBootstrapping && this.hasOwn(queue),
      onAbandoned: this.cancellations.tell,
    });
    this.streams = new AnswerStreams({ transport });
    this.handler = new RequestHandler({
      replier: new Replier({ transport, serializer, options, logger }),
      conversations: { running: this.running, streams: this.streams },
      withStack: options.request.errorStacks,
      logger,
    });
  }

  /**
   * Sends a command to the one handler that it has in the whole system, without waiting for it: durable, retried and dead-lettered
   * like an event.
   *
   * @returns the receipt, when the broker has taken responsibility
   * @throws NoHandlerError at once when no process with its handler has ever run; the errors of `publish`
   * @example await bus.send(new ShipOrder('42'));
   * @publicApi
   */
  send(command: Command<unknown>, options?: SendOptions): Promise<PublishReceipt>;
  send<T>(command: CommandDefinition<T> | CommandClass, payload: T, options?: SendOptions): Promise<PublishReceipt>;
  send(topic: string, payload?: unknown, options?: SendOptions): Promise<PublishReceipt>;
  send(first: string | object, second?: unknown, third?: SendOptions): Promise<PublishReceipt> {
    return this.publishing.events.publish('commands', first, second, third);
  }

  /**
   * Asks the one handler of a command and waits for its answer. One attempt: what the handler throws is the answer, and nothing is
   * retried or dead-lettered. Inside a handler it waits no longer than whoever waits for that one.
   *
   * @returns what the handler returned; of one that gives several values, the last one
   * @throws RemoteError (the handler's own error), RequestTimeoutError (it may have run), NoHandlerError (at once), the reason of
   *   `options.signal`; ConnectionError when the connection was lost meanwhile; BusClosedError; the errors of `publish` for what
   *   cannot be sent. When nobody waits any more, the handler's `context.signal` is aborted.
   * @example
   * const id = await bus.request(new PlaceOrder('tea')); // OrderId, as `class PlaceOrder extends Command<OrderId>` says
   * const price = await bus.request<number>('prices.get', { article: 'tea' }, { timeoutMs: 2_000 });
   * @publicApi
   */
  request<R>(command: Command<R>, options?: RequestOptions): Promise<R>;
  request<T, R>(command: CommandDefinition<T, R>, payload: T, options?: RequestOptions): Promise<R>;
  request<R>(command: CommandClass<R>, payload: object, options?: RequestOptions): Promise<R>;
  request<R = unknown>(topic: string, payload?: unknown, options?: RequestOptions): Promise<R>;
  request<R>(first: string | object, second?: unknown, third?: RequestOptions): Promise<R> {
    return this.caller.request(first, second, third) as Promise<R>;
  }

  /**
   * Asks for many answers, so many at one time, in memory no more than that. One that fails does not stop the others.
   *
   * @returns the outcomes, each at the position of its command; once `signal` has aborted, of those that had begun
   * @example
   * const results = await bus.requestAll(orders.map((order) => new PlaceOrder(order)), { concurrency: 5 });
   * @publicApi
   */
  requestAll<R = unknown>(
    commands: Iterable<Command<R>> | AsyncIterable<Command<R>>,
    options?: RequestAllOptions,
  ): Promise<readonly PromiseSettledResult<R>[]>;
  requestAll<R = unknown>(
    commands: Iterable<OutgoingCommand> | AsyncIterable<OutgoingCommand>,
    options?: RequestAllOptions,
  ): Promise<readonly PromiseSettledResult<R>[]>;
  requestAll<R>(
    commands: Iterable<OutgoingCommand> | AsyncIterable<OutgoingCommand>,
    options?: RequestAllOptions,
  ): Promise<readonly PromiseSettledResult<R>[]> {
    return requestAll(commands, options, (command, common) => this.caller.requestOne(command, common) as Promise<R>);
  }

  /**
   * Asks the one handler of a command, and reads what it gives piece by piece: every value of an AsyncIterable (`async *`) or an
   * Observable, in order, each once; of any other handler the one value. The handler is asked for the next value only while fewer
   * than `window` of them wait for your loop; an Observable cannot be told to wait, and fails when it is 10 000 values ahead. Leaving
   * the loop ends the handler: its `finally` runs, `context.signal` aborts, and what it emitted is discarded. So does the end of
   * this process, which its handler learns within 40 s.
   *
   * Nothing is sent before the first value is asked for. Called inside a handler, it ends with that handler's `context.signal`. The
   * whole stream has to fit into the `timeoutMs` of the handler's group (`@OnCommand(…, { timeoutMs })`, default 60 s).
   *
   * @throws (from the loop, after what has come) as `request`: RemoteError for what the handler throws; RequestTimeoutError when the
   *   first or the next value does not come in time; StreamBrokenError (`STREAM_BROKEN`) when some are missing; ConnectionError;
   *   NoHandlerError
   * @example
   * for await (const row of bus.requestStream(new ExportOrders(2026))) await file.write(row); // class ExportOrders extends Command<Row>
   * const rows$ = from(bus.requestStream<Row>('orders.export', { year: 2026 }));
   * @publicApi
   */
  requestStream<R>(command: Command<R>, options?: RequestStreamOptions): ReplyStream<R>;
  requestStream<T, R>(command: CommandDefinition<T, R>, payload: T, options?: RequestStreamOptions): ReplyStream<R>;
  requestStream<R>(command: CommandClass<R>, payload: object, options?: RequestStreamOptions): ReplyStream<R>;
  requestStream<R = unknown>(topic: string, payload?: unknown, options?: RequestStreamOptions): ReplyStream<R>;
  requestStream<R>(first: string | object, second?: unknown, third?: RequestStreamOptions): ReplyStream<R> {
    return this.caller.requestStream(first, second, third);
  }

  override async start(): Promise<void> {
    const started = super.start();
    if (!this.handlesCommands) return started;
    const heard = this.cancellations.listen((id) => this.running.cancel(id));
    await started;
    if (this.isStartAwaited) await heard;
  }

  override stats(): EventBusStats {
    return { ...super.stats(), pendingRequests: this.caller.pending };
  }

  /** @internal */
  override prepare(registrations: readonly HandlerRegistration[]): Promise<void> {
    this.handlesCommands = registrations.some(({ command }) => command !== undefined);
    return super.prepare(registrations.map((one) => (one.command === undefined ? one : this.handler.wrap(one))));
  }

  /** @internal */
  override async close(): Promise<void> {
    await this.drain(); // handlers that still run may ask
    this.running.stop();
    await this.streams.close();
    await this.caller.close();
    await super.close();
  }
}
