/** A key of the configuration of EventBusClient, the Python library. */
export interface LegacyAlias {
  readonly key: string;
  /** The options that it becomes. Absent: it has no counterpart. */
  readonly options?: string;
  /** What is done with it, and for what has no counterpart, what to do instead. */
  readonly meaning: string;
}

/** Every key that it knows. The table of the README says the same. */
export const LEGACY_ALIASES: readonly LegacyAlias[] = [
  { key: 'host', options: 'transport', meaning: 'The host of amqp://host:port; localhost when absent.' },
  { key: 'port', options: 'transport', meaning: 'Its port; 5672 when absent.' },
  { key: 'exchange_name', options: 'exchange.name', meaning: 'As it is.' },
  { key: 'exchange_handler', options: 'exchange.type', meaning: 'The type that the handler stands for.' },
  { key: 'serializer', options: 'serializer', meaning: 'JsonSerializer is json; the others are refused.' },
  { key: 'qos_prefetch', options: 'consume.prefetch', meaning: 'As it is, but from 1 on.' },
  {
    key: 'startup_policies',
    options: 'startup.policy',
    meaning:
      'NoWait, FixedDelay, HandshakeBarrier and PolicyChain, as a chain; the others are refused. A barrier goes on after its timeout.',
  },
  { key: 'startup_policies_mode', options: 'startup.policy', meaning: 'The mode of the chain.' },
  {
    key: 'startup_policies_fail_fast',
    options: 'startup.policy',
    meaning: 'Whether its first failure ends the chain.',
  },
  { key: 'startup_policy', options: 'startup.policy', meaning: 'As one of startup_policies, which win.' },
  { key: 'startup_policy_args', options: 'startup.policy', meaning: 'The args of startup_policy.' },
  { key: 'logger_name', options: 'logger', meaning: "The context of Nest's Logger." },
  { key: 'loglevel', options: 'logger', meaning: 'What is less severe is left out.' },
  {
    key: 'logfile',
    options: 'logger',
    meaning: 'nonlog logs nothing, console and null are the default; no file is written.',
  },
  { key: 'logger_mode', meaning: 'No log file is written; remove it.' },
  { key: 'auto_reconnect', meaning: 'A lost connection is always made again; remove it.' },
  {
    key: 'plugins_path',
    meaning: 'No folder is searched; name a module where it is used: "serializer": "./plugins/zip.js#ZipSerializer".',
  },
  { key: 'general_cache_policy', options: 'cache.policy', meaning: 'With a hyphen; off when absent.' },
  { key: 'general_routing_keys', options: 'cache.patterns', meaning: 'The one pattern; general when absent.' },
  { key: 'general_message_cls', meaning: 'Entries are what was decoded, of no class; remove it.' },
];

export const LEGACY_EXCHANGE_TYPES: Readonly<Record<string, string>> = {
  TopicExchangeHandler: 'topic',
  FanoutExchangeHandler: 'fanout',
  HeadersExchangeHandler: 'headers',
  XRTopicExchangeHandler: 'x-rtopic',
};

export const LEGACY_CACHE_POLICIES: Readonly<Record<string, string>> = {
  off: 'off',
  on_connect: 'on-connect',
  on_demand: 'on-demand',
};

/** The names of serializers there: an own name, or why not. */
export const LEGACY_SERIALIZERS: Readonly<Record<string, { readonly name: string } | { readonly refusal: string }>> = {
  JsonSerializer: { name: 'json' },
  PickleSerializer: {
    refusal:
      'PickleSerializer is not read, because reading a pickle runs code that the sender chose. Use "structured" or "json".',
  },
  ProtobufSerializer: {
    refusal:
      'ProtobufSerializer needs a schema for each event. Make one in a module, and name it: "serializer": "./events.js#serializer".',
  },
};

/** What each level lets through. */
export const LEGACY_LOG_LEVELS: Readonly<Record<string, 'debug' | 'log' | 'warn' | 'error'>> = {
  DEBUG: 'debug',
  INFO: 'log',
  WARNING: 'warn',
  ERROR: 'error',
  CRITICAL: 'error',
};
