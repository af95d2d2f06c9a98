/** Every number that bounds something, in one place. Those that users may change are defaults of options. */
export const LIMITS = Object.freeze({
  /** AMQP short strings: topics, patterns, header names. */
  topicBytes: 255,
  topicWords: 128,
  messageBytes: 1_048_576,
  /** One message of an instance to the others. */
  controlBytes: 65_536,
  headerCount: 128,
  /** Kept far below the 64 KiB at which the AMQP client gives up. */
  headerBytes: 16_384,
  errorMessageBytes: 1_024,
  errorStackBytes: 4_096,
  /** What the bus keeps in a header of its own; longer ones came from somebody else, and are ignored. */
  internalHeaderBytes: 1_024,
  /** Arrays and objects within each other, in a body of JSON. */
  depth: 1_000,
  /** Values in a structured body, those that are there again by reference counted each time. */
  structuredValues: 1_000_000,
  /** Numbers as members of a Set or keys of a Map in a structured body; in several of them, the root of the squares' sum. */
  structuredNumberKeys: 5_000,
  /** Decimal digits of a BigInt in a structured body. */
  bigintDigits: 10_000,
  /** Objects and arrays in a body of MessagePack: as many as JSON has room for in 1 MiB. */
  msgpackObjects: 350_000,
  /** Values that a Protobuf body may become, with the defaults of its messages; objects count more than once. */
  protobufValues: 600_000,
  /** A forged attempt number is brought down to this. */
  attempt: 1_000,
  deferrals: 100,
  /** No chain of handlers may be made deeper; a forged depth is brought down to this. */
  chainDepth: 1_000_000,
  /** A message that asks to wait longer was not published by this library. */
  deferMs: 30 * 86_400_000,
  /** Only the oldest dead letters are looked at when some of them are asked for; all of them can be replayed. */
  deadLetters: 10_000,
  /** Roles of one instance, and characters of each. */
  roles: 64,
  roleLength: 128,
  /** Instances that one knows; more are not counted. */
  members: 10_000,
  leaseMinMs: 1_000,
  leaseMaxMs: 3_600_000,
  /** Parts of an answer that may be on their way or unread at one time, whatever is asked for. */
  streamCredit: 10_000,
  /** Values of an Observable that wait to be sent: nobody can tell it to stop for a while. */
  streamBacklog: 10_000,
  /** Parts that are handed over and not confirmed yet. */
  streamUnconfirmed: 256,
  /** RabbitMQ closes the channel of a consumer that holds a delivery for 30 minutes. */
  holdMs: 25 * 60_000,
});

/** The fixed delays through which a put-off message hops on transports that know only declared delays. */
export const DEFERRAL_LEVELS_MS: readonly number[] = Object.freeze([1_000, 5_000, 25_000, 125_000, 600_000, 3_600_000]);

export const DEFAULTS = Object.freeze({
  exchange: 'events',
  startupTimeoutMs: 30_000,
  publishTimeoutMs: 10_000,
  requestTimeoutMs: 10_000,
  streamWindow: 64,
  /** So often whoever reads a stream of answers says that it is still there. */
  streamBeatMs: 10_000,
  /** A stream ends when so many beats have been missed. */
  streamMissedBeats: 3,
  publishWindow: 1_000,
  /** Enough for what people mean, and soon reached by handlers that feed each other. */
  maxDepth: 100,
  bufferMessages: 10_000,
  bufferBytes: 64 * 1_048_576,
  unroutableMessages: 1_000,
  unroutableBytes: 16 * 1_048_576,
  cacheEntries: 200,
  cacheBytes: 64 * 1_048_576,
  cacheWaitMs: 30_000,
  concurrency: 10,
  maxConcurrency: 100,
  handlerTimeoutMs: 60_000,
  handlerGraceMs: 5_000,
  shutdownDeadlineMs: 10_000,
  retryDelaysMs: Object.freeze([1_000, 5_000, 25_000, 125_000, 600_000]) as readonly number[],
  idempotencyWindowMs: 3_600_000,
  inboxEntries: 100_000,
  /** What a claim outlasts the longest run by: for clocks that go apart, and an `emit` that takes its time. */
  inboxLeaseMarginMs: 5_000,
  /** How long one question to the inbox may take. */
  inboxCallMs: 5_000,
  inboxBusyMs: 1_000,
  inboxFailedMs: 5_000,
  rendezvousTimeoutMs: 30_000,
  rendezvousLeaseMs: 15_000,
  unmatchedAttempts: 10,
  unmatchedDelayMs: 30_000,
});
