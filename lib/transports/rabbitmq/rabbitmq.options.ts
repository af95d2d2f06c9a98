import { ConfigurationError } from '../../core/errors.js';
import { ANY, bool, type Check, integer, listOf, shape, text } from '../../core/options.js';

/** Options of the RabbitMQ transport. */
export interface RabbitMqTransportOptions {
  readonly type: 'rabbitmq';
  /** `amqp://user:password@host:5672/vhost`, or `amqps://` for TLS. */
  readonly url?: string;
  /** Several brokers of one cluster, tried in turn. */
  readonly urls?: readonly string[];
  /** A silent connection is given up after two of these, in milliseconds. Default 10 000. */
  readonly heartbeatMs?: number;
  /** Bound for one connection attempt, in milliseconds. Default 3 000. */
  readonly connectTimeoutMs?: number;
  /** For `amqps`: passed to Node's TLS. Peers are verified unless `rejectUnauthorized` is false. */
  readonly tls?: {
    readonly ca?: string | Buffer | readonly (string | Buffer)[];
    readonly cert?: string | Buffer;
    readonly key?: string | Buffer;
    readonly passphrase?: string;
    readonly servername?: string;
    readonly rejectUnauthorized?: boolean;
  };
}

export interface ResolvedRabbitMqOptions {
  readonly urls: readonly string[];
  /** `host:port/vhost` of each, without credentials. */
  readonly endpoint: string;
  readonly heartbeatMs: number;
  readonly connectTimeoutMs: number;
  readonly tls: Readonly<Record<string, unknown>>;
}

const amqpUrl: Check = (value, path, problems) => {
  const url = typeof value === 'string' ? parse(value) : undefined;
  // the value may hold a password, so it is not shown
  if (!url)
    problems.push(
      `${path} is not a valid URL; expected amqp://user:password@host:5672/vhost with special characters percent-encoded.`,
    );
  else if (url.protocol !== 'amqp:' && url.protocol !== 'amqps:')
    problems.push(`${path} must begin with amqp:// or amqps://.`);
};

const OPTIONS_SHAPE = shape({
  type: text(),
  url: amqpUrl,
  urls: listOf(amqpUrl, 1),
  heartbeatMs: integer(1_000, 600_000),
  connectTimeoutMs: integer(100, 600_000),
  tls: shape({ ca: ANY, cert: ANY, key: ANY, passphrase: ANY, servername: text(), rejectUnauthorized: bool }),
});

export function rabbitMqProblems(raw: Readonly<Record<string, unknown>>): readonly string[] {
  const problems: string[] = [];
  OPTIONS_SHAPE(raw, 'transport', problems);
  if ((raw.url === undefined) === (raw.urls === undefined))
    problems.push('transport needs exactly one of url and urls.');
  return problems;
}

/** @throws ConfigurationError with all problems */
export function resolveRabbitMqOptions(raw: Readonly<Record<string, unknown>>): ResolvedRabbitMqOptions {
  const problems = rabbitMqProblems(raw);
  if (problems.length > 0) throw new ConfigurationError(problems);
  const {
    url,
    urls = [],
    heartbeatMs = 10_000,
    connectTimeoutMs = 3_000,
    tls = {},
  } = raw as unknown as RabbitMqTransportOptions;
  const all = url === undefined ? urls : [url];
  return { urls: all, endpoint: all.map(endpointOf).join(', '), heartbeatMs, connectTimeoutMs, tls };
}

function endpointOf(value: string): string {
  const url = parse(value);
  if (!url) return 'unknown';
  const port = url.port || (url.protocol === 'amqps:' ? '5671' : '5672');
  return `${url.hostname}:${port}${url.pathname === '/' ? '' : url.pathname}`;
}

/** Undefined also for what the URL parser accepts but does not mean: there a part of the password would pass for a path. */
function parse(value: string): URL | undefined {
  if (!/^[a-z]+:\/\//i.test(value) || !URL.canParse(value)) return undefined;
  const url = new URL(value);
  return url.hostname === '' || url.pathname.includes('@') || url.hash !== '' ? undefined : url;
}
