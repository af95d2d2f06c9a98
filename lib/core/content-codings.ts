/** A content type as it is compared: without parameters, in lower case. */
export function mediaTypeOf(contentType: string): string {
  return (contentType.split(';', 1)[0] ?? '').trim().toLowerCase();
}

/** The codings in the order in which they were applied; `GZIP,aes256gcm` is gzip and aes256gcm. */
export function codingsOf(contentEncoding: string | undefined): readonly string[] {
  return (
    (contentEncoding ?? '')
      .split(',')
      .map((coding) => coding.trim().toLowerCase())
      // its name from before it had one (RFC 9110, 8.4.1.3)
      .map((coding) => (coding === 'x-gzip' ? 'gzip' : coding))
      .filter((coding) => coding !== '' && coding !== 'identity')
  );
}

/** As a message has them: `gzip, aes256gcm`; empty for none. */
export function joinCodings(codings: readonly string[]): string {
  return codings.join(', ');
}
