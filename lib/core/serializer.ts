/** Payload to bytes and back. `decode` must throw for bytes it does not understand, and give plain data only. */
export interface Serializer {
  readonly contentType: string;
  encode(payload: unknown): Uint8Array;
  decode(body: Uint8Array): unknown;
}
