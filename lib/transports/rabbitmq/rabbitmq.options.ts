import { createSecureContext, type SecureContextOptions } from 'node:tls';
import { ConfigurationError } from '../../core/errors.js';
import { ANY, bool, type Check, integer, listOf, oneOf, shape, text } from '../../core/options.js';
import type { DeclareMode } from '../../core/transport.js';

/** Options of the RabbitMQ transport. A type, not an interface, so that it is also a `TransportOptions`. */
export type RabbitMqTransportOptions = {
  readonly type: 'rabbitmq';
  /**
   * `amqp://user:password@host:5672/vhost`, or `amqps://` for TLS; special characters are percent-encoded. Default port 5672,
   * with TLS 5671, default user guest:guest. Either this or `urls`.
   */
  readonly url?: string;
  /** Several nodes of one cluster: the first that answers is used, and the next when it goes. */
  readonly urls?: readonly string[];
  /** A silent connection is given up after two of these, in milliseconds, rounded to seconds. Default 10 000. */
  readonly heartbeatMs?: number;
  /** Bound for one connection attempt, in milliseconds. Default 3 000. */
  readonly connectTimeoutMs?: number;
  /**
   * What is done about exchanges and queues. `assert` (default) declares what is missing; what differs is a
   * {@link TopologyConflictError}. `check` declares nothing: an exchange, `<group>` or `<group>.dlq` that is missing is the
   * same error, other arguments are taken as they are. `skip` does not look. With these two, bindings and a
   * `<group>.retry.<ms>` for each retry delay (`<group>.retry.<ms>.to.<queue>` where a handler names its queue) are made by
   * hand too. Private queues are always declared. A handler's own `rabbitmq.assert` wins.
   */
  readonly assert?: DeclareMode;
  /** For `amqps://` alone. What cannot be used is a ConfigurationError. */
  readonly tls?: {
    /** Whom to trust, PEM. Default: Node's list. */
    readonly ca?: string | Buffer | readonly (string | Buffer)[];
    /** Own certificate, PEM, for brokers that ask for one. */
    readonly cert?: string | Buffer;
    /** Its private key, PEM. */
    readonly key?: string | Buffer;
    /** Of `key`. */
    readonly passphrase?: string;
    /** Name that the broker's certificate must have. Default: the host of the URL. */
    readonly servername?: string;
    /** `false`: whoever answers is taken for the broker, and a warning says so. Default `true`. */
    readonly rejectUnauthorized?: boolean;
  };
};

/** One URL, taken apart. */
interface RabbitMqServer {
  /** Without credentials. */
  readonly url: string;
  readonly user: string;
  readonly password: string;
}

export interface ResolvedRabbitMqOptions {
  /** With credentials. A function, so that whatever prints these options does not print them. */
  readonly servers: () => readonly RabbitMqServer[];
  /** `host:port/vhost` of each, without credentials. */
  readonly endpoint: string;
  readonly heartbeatMs: number;
  readonly connectTimeoutMs: number;
  /** With private keys; a function for the same reason. */
  readonly tls: () => Readonly<Record<string, unknown>>;
  /** Whether whoever answers is taken for the broker. */
  readonly isUnverified: boolean;
  readonly declare: DeclareMode;
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
  assert: oneOf(['assert', 'check', 'skip']),
  tls: shape({ ca: ANY, cert: ANY, key: ANY, passphrase: ANY, servername: text(), rejectUnauthorized: bool }),
});

export function rabbitMqProblems(raw: Readonly<Record<string, unknown>>): readonly string[] {
  const problems: string[] = [];
  OPTIONS_SHAPE(raw, 'transport', problems);
  if ((raw.url === undefined) === (raw.urls === undefined))
    problems.push('transport needs exactly one of url and urls.');
  const all = [raw.url, raw.urls].flat().filter((url) => typeof url === 'string');
  if (raw.tls !== undefined && all.some((url) => /^amqp:/i.test(url)))
    problems.push('transport.tls has no effect on amqp://; use amqps://.');
  if (problems.length === 0 && raw.tls !== undefined) problems.push(...tlsProblems(raw.tls as SecureContextOptions));
  return problems;
}

/** Certificates and keys that Node cannot use would look like a broker that cannot be reached. */
function tlsProblems({ ca, cert, key, passphrase }: SecureContextOptions): readonly string[] {
  try {
    createSecureContext({ ca, cert, key, passphrase });
    return [];
  } catch (error) {
    const { code = 'no reason given' } = error as { readonly code?: string };
    return [`transport.tls has a ca, cert, key or passphrase that cannot be used (${code}).`];
  }
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
    assert = 'assert',
  } = raw as unknown as RabbitMqTransportOptions;
  const all = url === undefined ? urls : [url];
  const servers = all.map(serverOf);
  return {
    servers: () => servers,
    endpoint: all.map(endpointOf).join(', '),
    heartbeatMs,
    connectTimeoutMs,
    tls: () => tls,
    declare: assert,
    isUnverified: tls.rejectUnauthorized === false,
  };
}

/** The driver would take what stands behind each percent sign for a letter of Latin-1. */
function serverOf(value: string): RabbitMqServer {
  const url = new URL(value);
  const { username, password } = url;
  url.username = '';
  url.password = '';
  if (username === '' && password === '') return { url: url.href, user: 'guest', password: 'guest' };
  return { url: url.href, user: decodeURIComponent(username), password: decodeURIComponent(password) };
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
  if (url.hostname === '' || url.pathname.includes('@') || url.hash !== '') return undefined;
  return [url.username, url.password, url.pathname].every(isDecodable) ? url : undefined;
}

function isDecodable(text: string): boolean {
  try {
    decodeURIComponent(text);
    return true;
  } catch {
    return false;
  }
}
