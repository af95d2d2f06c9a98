/** What a connection fails with; the driver and Node put a code beside most of it. */
type Failure = Error & { readonly code?: unknown };

const TLS_CODE =
  /^(ERR_TLS_|ERR_SSL_|CERT_|UNABLE_TO_|SELF_SIGNED_|DEPTH_ZERO_|HOSTNAME_MISMATCH|INVALID_CA|INVALID_PURPOSE|EPROTO)/;

/** The text of the driver without what could be a URL in it. */
export function reasonOf(error: Failure | undefined): string {
  if (!error) return 'closed by the broker';
  const code = typeof error.code === 'string' ? error.code : undefined;
  const [line = ''] = (error.message || code || error.name).split('\n');
  const message = line.replace(/amqps?:\/\/\S+/g, 'amqp://…');
  return code === undefined || message.includes(code) ? message : `${code}: ${message}`;
}

/** Nothing came for too long: whoever is there would be as silent to a new connection. */
export function isSilence(error: Error | undefined): boolean {
  return error?.message.includes('Heartbeat timeout') ?? false;
}

/** The broker has refused the user, the password or the virtual host. */
export function isAccessRefused(error: Error): boolean {
  return /ACCESS[_-]REFUSED|NOT[_-]ALLOWED/.test(error.message);
}

/** All that the driver tells of a missing or forbidden virtual host, and of a broker that is still starting. */
export function isClosedHandshake(error: Error): boolean {
  return error.message.includes('got <ConnectionClose');
}

/** A certificate that is not trusted, or two that cannot agree on how to speak TLS. */
export function isTlsFailure(error: Failure): boolean {
  return typeof error.code === 'string' && TLS_CODE.test(error.code);
}

/**
 * The driver could not read what came: it throws while it decodes, and gives the connection up. By name, because the driver
 * may live in another realm; what sockets and the broker fail with has other names.
 */
export function isUnreadable(cause: unknown): boolean {
  const { name } = (cause ?? {}) as { readonly name?: unknown };
  return name === 'RangeError' || name === 'TypeError';
}
