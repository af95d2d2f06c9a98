import type { EventClass, EventDefinition } from '../../bus/event-definition.js';
import type { Constructor } from '../../core/constructor.js';
import { ConfigurationError } from '../../core/errors.js';
import { getEventBusToken } from '../../event-bus.constants.js';
import type { EventBusService } from '../../event-bus.service.js';
import { BUS_SURROUNDINGS } from '../../event-bus.surroundings.js';
import type { BusProbe } from './bus-probe.js';
import type { PendingDelivery } from './held-delays.js';
import { type RecordFilter, toPredicate } from './record-filter.js';
import { waitForRecords } from './record-wait.js';
import { WAIT_MS } from './stillness.js';
import type { TestApplication, TestModuleBuilder } from './test-module.js';
import type {
  DeadRecord,
  FailedRecord,
  HandledRecord,
  MessageRecord,
  PublishedRecord,
  TestRecordKind,
  TestRecords,
} from './test-records.js';
import { TestSurroundings } from './test-surroundings.js';

export interface TestHarnessOptions {
  /** Name of the bus that the harness looks at. Default: the only one that the application has, else the unnamed one. */
  readonly bus?: string;
  /** As `retain` of the transport in memory, for groups that start from the `earliest`. Default 0: nothing. */
  readonly retain?: number;
}

/** Also makes the application, when the compiled module itself will not do. */
export interface TestHarnessAppOptions<M, A> extends TestHarnessOptions {
  /** Called before the application is initialized. */
  readonly createApp: (module: M) => A | Promise<A>;
}

export interface SettleOptions {
  /** In real milliseconds. Default 4 000. */
  readonly timeoutMs?: number;
}

export interface WaitForOptions<K extends TestRecordKind = TestRecordKind> extends SettleOptions {
  /** Default `published`. */
  readonly kind?: K;
  /** How many at least, what was recorded before included. Default 1. */
  readonly count?: number;
  readonly signal?: AbortSignal;
}

/** Which event, when a test names it by its type. */
type Typed<T> = EventClass<T> | EventDefinition<T>;
type Judge<R> = (record: R) => boolean;

/**
 * Runs the modules of an application with all its buses in memory, whatever their options say: nothing connects, and what is
 * published, handled, retried and dead-lettered can be read, waited for and hurried.
 *
 * @example
 * const harness = await EventBusTestHarness.create(Test.createTestingModule({ imports: [AppModule] }));
 * await harness.bus.publish(new OrderPlaced('42'));
 * await harness.settled();
 * expect(harness.published('mail.sent')).toHaveLength(1);
 * await harness.close();
 * @publicApi
 */
export class EventBusTestHarness<A extends TestApplication = TestApplication> {
  private constructor(
    /** The running application: the compiled module, or what `createApp` made of it. */
    readonly app: A,
    private readonly around: TestSurroundings,
    private readonly probe: BusProbe,
    private readonly closing: { done?: Promise<void> },
  ) {}

  /**
   * Compiles and initializes the module, consumers included. The builder can be prepared with overrides of your own before.
   * Options of the bus are checked as ever. When it fails, the application is closed.
   *
   * @param builder of `@nestjs/testing`, not compiled yet
   * @throws ConfigurationError when there is no such bus, or its options are wrong; what the application fails with
   * @example
   * const harness = await EventBusTestHarness.create(
   *   Test.createTestingModule({ imports: [AppModule] }).overrideProvider(Mailer).useValue(mailer),
   *   { createApp: (module) => module.createNestApplication() },
   * );
   * await request(harness.app.getHttpServer()).post('/orders').expect(201);
   */
  static create<M extends TestApplication, A extends TestApplication>(
    builder: TestModuleBuilder<M>,
    options: TestHarnessAppOptions<M, A>,
  ): Promise<EventBusTestHarness<A>>;
  static create<M extends TestApplication>(
    builder: TestModuleBuilder<M>,
    options?: TestHarnessOptions,
  ): Promise<EventBusTestHarness<M>>;
  static async create<M extends TestApplication, A extends TestApplication>(
    builder: TestModuleBuilder<M>,
    { bus, retain = 0, ...options }: TestHarnessOptions & Partial<TestHarnessAppOptions<M, A>> = {},
  ): Promise<EventBusTestHarness<M | A>> {
    const around = new TestSurroundings(retain);
    builder.overrideProvider(BUS_SURROUNDINGS).useValue(around);
    const module = await builder.compile();
    let app: M | A = module;
    try {
      const probe = around.probe(bus);
      if (options.createApp) app = await options.createApp(module);
      await app.init();
      return new EventBusTestHarness(app, around, probe, {});
    } catch (error) {
      // nobody else can, and what it has opened would keep the tests from ending; why it failed is what counts
      await app.close().catch(() => undefined);
      await around.close(); // before Nest 12 an application that has not come up is not told that it ends
      throw error;
    }
  }

  /** The bus, as the application injects it. */
  get bus(): EventBusService {
    return this.get<EventBusService>(getEventBusToken('service', this.probe.name) as Constructor<EventBusService>);
  }

  /** Gives a provider of the application, of whatever module. */
  get<T>(token: Constructor<T> | (abstract new (...args: never[]) => T) | string | symbol): T {
    return this.app.get(token as never, { strict: false }) as T;
  }

  /**
   * The same application, seen at another of its buses.
   *
   * @throws ConfigurationError when there is none of that name
   */
  forBus(name: string): EventBusTestHarness<A> {
    return new EventBusTestHarness(this.app, this.around, this.around.probe(name), this.closing);
  }

  /**
   * What the transport has taken, in order: also what no group got, and what handlers published.
   *
   * @param what a pattern of topics, a class with `@Event`, a definition, or a function; default all
   * @example expect(harness.published(OrderPlaced)).toMatchObject([{ payload: { id: '42' }, routed: true }]);
   */
  published<T = unknown>(what?: string | Judge<PublishedRecord<T>>): readonly PublishedRecord<T>[];
  published<T>(what: Typed<T>): readonly PublishedRecord<T>[];
  published(what?: RecordFilter<PublishedRecord>): readonly PublishedRecord[] {
    return this.select('published', what);
  }

  /**
   * The deliveries that a handler has succeeded with: for one message as many as there are groups that handled it.
   *
   * @param options.group only those of this group
   * @example expect(harness.handled(OrderPlaced, { group: 'mail.welcome' })).toHaveLength(1);
   */
  handled<T = unknown>(
    what?: string | Judge<HandledRecord<T>>,
    options?: { readonly group?: string },
  ): readonly HandledRecord<T>[];
  handled<T>(what: Typed<T>, options?: { readonly group?: string }): readonly HandledRecord<T>[];
  handled(what?: RecordFilter<HandledRecord>, { group }: { readonly group?: string } = {}): readonly HandledRecord[] {
    const found = this.select('handled', what);
    return group === undefined ? found : found.filter((record) => record.group === group);
  }

  /**
   * The attempts that failed, whether they are retried or not, and requests that were answered with an error. What a handler put off
   * with RetryLaterError is none.
   */
  failed<T = unknown>(what?: string | Judge<FailedRecord<T>>): readonly FailedRecord<T>[];
  failed<T>(what: Typed<T>): readonly FailedRecord<T>[];
  failed(what?: RecordFilter<FailedRecord>): readonly FailedRecord[] {
    return this.select('failed', what);
  }

  /**
   * What has been dead-lettered, private handlers included: of them the group is that of the handler. What was replayed since is
   * still among them; what a group has just now tells DeadLetterService.
   *
   * @param group only those of this group
   */
  deadLetters(group?: string): readonly DeadRecord[] {
    return this.select('dead', group === undefined ? undefined : (record) => record.group === group);
  }

  /** What waits for a later time: retries, and messages that are put off. `settled()` does not wait for it. */
  get pending(): readonly PendingDelivery[] {
    return this.probe.pending;
  }

  /**
   * Resolves with what fits as soon as there is enough of it, at once if there is already.
   *
   * @throws EventBusError (`NOT_SEEN`) that lists the topics which were seen instead; the reason of the signal; BusClosedError
   * @example const [mail] = await harness.waitFor('mail.sent', { kind: 'handled' });
   */
  waitFor<T = unknown, K extends TestRecordKind = 'published'>(
    what: string | Judge<TestRecords<T>[K]>,
    options?: WaitForOptions<K>,
  ): Promise<readonly TestRecords<T>[K][]>;
  waitFor<T, K extends TestRecordKind = 'published'>(
    what: Typed<T>,
    options?: WaitForOptions<K>,
  ): Promise<readonly TestRecords<T>[K][]>;
  waitFor(
    what: RecordFilter<MessageRecord>,
    { kind = 'published', count = 1, timeoutMs = WAIT_MS, signal }: WaitForOptions = {},
  ): Promise<readonly MessageRecord[]> {
    const signals = [signal, this.around.stillness.ended];
    return waitForRecords(this.probe.ledger, what, { kind, count, timeoutMs, signals });
  }

  /**
   * Resolves when nothing moves any more on any bus of the application: all is routed and settled, what handlers published
   * included, and so on. What waits for a later time does not count, nor do groups that are not consumed; a batch that is not
   * full does. What the application does without the bus, such as an HTTP request, is not seen.
   *
   * @throws EventBusError (`NOT_SETTLED`) that says what still moves; BusClosedError
   */
  settled({ timeoutMs = WAIT_MS }: SettleOptions = {}): Promise<void> {
    return this.around.stillness.reached(timeoutMs);
  }

  /**
   * Lets time go by for what waits: what is due within it is handed out in its order, and everything settles before the next is.
   * Clocks and timers of the process stay as they are.
   *
   * @param ms as if so many had passed; the steps add up
   * @throws as `settled`
   * @example await harness.advance(5_000);
   */
  async advance(ms: number, options?: SettleOptions): Promise<void> {
    if (!Number.isFinite(ms) || ms < 0)
      throw new ConfigurationError('advance() needs a number of milliseconds, 0 or more.');
    const { delays } = this.around;
    delays.stop();
    try {
      const end = delays.now + ms;
      await this.moveTo(end, options);
      delays.moveTo(end);
    } finally {
      delays.go();
    }
  }

  /**
   * Goes on until nothing waits any more: every retry has run, and what fails for good is dead-lettered.
   *
   * @throws as `settled`
   */
  async runRetries(options?: SettleOptions): Promise<void> {
    const { delays } = this.around;
    delays.stop();
    try {
      await this.moveTo(Number.POSITIVE_INFINITY, options);
    } finally {
      delays.go();
    }
  }

  /** Forgets what was recorded on this bus. What is under way goes on. */
  reset(): void {
    this.probe.ledger.reset();
  }

  /** Closes the application. Idempotent. */
  close(): Promise<void> {
    this.around.stillness.close();
    this.closing.done ??= this.app.close();
    return this.closing.done;
  }

  private async moveTo(end: number, options?: SettleOptions): Promise<void> {
    const { delays } = this.around;
    await this.settled(options);
    for (let next = delays.nextAt; next !== undefined && next <= end; next = delays.nextAt) {
      delays.moveTo(next);
      await this.settled(options);
    }
  }

  private select<K extends TestRecordKind>(
    kind: K,
    what: RecordFilter<TestRecords[K]> | undefined,
  ): readonly TestRecords[K][] {
    return this.probe.ledger.read(kind).filter(toPredicate<TestRecords[K]>(what));
  }
}
