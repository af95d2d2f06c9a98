import { isUtf8 } from 'node:buffer';
import { codingsOf, mediaTypeOf } from '../core/content-codings.js';
import { decodedOf, encodedOf } from '../core/encoded-body.js';
import { ConfigurationError, DecodeError } from '../core/errors.js';
import type { EncodedBody, MessageHead, Serializer } from '../core/serializer.js';
import { unserializable } from '../core/unserializable.js';
import {
  attributesReceived,
  attributesToSend,
  type CloudEventAttributes,
  type CloudEventValue,
  canBeValue,
  isUriReference,
  SPEC_VERSION,
} from './cloud-event.attributes.js';
import { hazardOf } from './json.hazard.js';
import { JsonSerializer } from './json.serializer.js';

/** How attributes are called in the headers. Later drafts of the binding also allow the second; written is the first. */
const PREFIX = 'cloudEvents:';
const PREFIXES: readonly string[] = [PREFIX, 'cloudEvents_'];
const STRUCTURED = 'application/cloudevents+json';
const JSON_TYPE = /^(application|text)\/json$|\+json$/;

/** An event as a handler gets it that asks for all of it. */
export interface ReceivedCloudEvent<T = unknown> {
  readonly specversion: '1.0';
  readonly id: string;
  readonly source: string;
  readonly type: string;
  readonly subject?: string;
  /** As RFC 3339 writes it. */
  readonly time?: string;
  readonly datacontenttype?: string;
  readonly dataschema?: string;
  /** `null` when the event has none. */
  readonly data: T;
  /** Extension attributes. */
  readonly [extension: string]: unknown;
}

export interface CloudEventsSerializerOptions {
  /**
   * `binary`: the body is the data, as without CloudEvents, and the attributes are headers named `cloudEvents:…`.
   * `structured`: the body is one JSON document with attributes and data, of the type `application/cloudevents+json`.
   */
  readonly mode: 'binary' | 'structured';
  /** How the data is written. Default: JSON. */
  readonly data?: Serializer;
  /** A URI reference that says where the event happened. Default: `service` of the bus. */
  readonly source?: string;
  /**
   * Attributes beside those made of the message, such as `dataschema`, or in their place. `undefined` leaves one out.
   *
   * @example
   * attributes: ({ headers }) => ({ dataschema: 'https://shop.example/order.json', traceparent: headers.traceparent })
   */
  readonly attributes?: (head: MessageHead, payload: unknown) => CloudEventAttributes;
  /** What handlers get: the `data` alone (default), or the whole `event`. What is published is always the data. */
  readonly payload?: 'data' | 'event';
  /**
   * `binary` only: bodies without any attribute in the headers are no CloudEvents, but are read as data all the same; for a
   * handler that asks for the `event` too. Default `false`: they are dead-lettered as `undecodable`.
   */
  readonly acceptPlain?: boolean;
}

/**
 * CloudEvents 1.0, in either mode of the AMQP binding; headers of AMQP 0-9-1 stand for the properties of 1.0. It reads the mode
 * that it writes; put one of the other mode into `accept` to read both.
 *
 * @example
 * EventBusModule.forRoot({
 *   serializer: new CloudEventsSerializer({ mode: 'structured', source: '/shop/orders' }),
 *   accept: ['json'], // plain bodies as well
 * })
 *
 * @throws ConfigurationError for options that cannot work
 */
export class CloudEventsSerializer implements Serializer {
  readonly contentType: string;
  readonly contentTypeAliases?: readonly string[];
  readonly contentEncodings?: readonly string[];
  readonly usesHeaders: boolean;
  private readonly inner: Serializer;
  private readonly json = new JsonSerializer();

  constructor(private readonly options: CloudEventsSerializerOptions) {
    assertOptions(options);
    this.inner = options.data ?? this.json;
    const isBinary = options.mode === 'binary';
    this.usesHeaders = isBinary;
    this.contentType = isBinary ? this.inner.contentType : STRUCTURED;
    if (isBinary && this.inner.contentTypeAliases) this.contentTypeAliases = this.inner.contentTypeAliases;
    if (isBinary && this.inner.contentEncodings) this.contentEncodings = this.inner.contentEncodings;
  }

  encode(payload: unknown, head: MessageHead): EncodedBody {
    const own = this.options.attributes?.(head, payload);
    const attributes = attributesToSend({ ...attributesOf(head), source: this.options.source ?? head.source }, own);
    const data = encodedOf(this.inner.encode(payload, head));
    return this.options.mode === 'binary' ? withHeaders(data, attributes) : this.document(data, attributes);
  }

  decode(body: Uint8Array, head: MessageHead): unknown {
    return this.options.mode === 'binary' ? this.readBinary(body, head) : this.readDocument(body, head);
  }

  private document(data: EncodedBody, attributes: CloudEventAttributes): EncodedBody {
    if (data.contentEncoding !== undefined) {
      throw unserializable(
        'data within a CloudEvent cannot be compressed or encrypted. Wrap the CloudEventsSerializer instead',
      );
    }
    const type = data.contentType ?? this.inner.contentType;
    const start = JSON.stringify({ ...attributes, datacontenttype: type }).slice(0, -1);
    const text = `${start},${memberOf(data.body, mediaTypeOf(type))}}`;
    // the document is one level deeper than its data
    if (hazardOf(text, () => JSON.parse(text))) throw unserializable('it is nested too deep');
    const body = Buffer.from(text);
    return data.headers ? { body, headers: data.headers } : { body };
  }

  private readBinary(body: Uint8Array, head: MessageHead): unknown {
    const entries: [string, unknown][] = [];
    for (const name of Object.keys(head.headers)) {
      const prefix = PREFIXES.find((one) => name.startsWith(one));
      // what cannot be a value of one, such as a fraction, is somebody's own header
      if (prefix !== undefined && canBeValue(head.headers[name]))
        entries.push([name.slice(prefix.length), head.headers[name]]);
    }
    if (entries.length === 0 && this.options.acceptPlain) return this.inner.decode(body, head);
    const attributes = attributesReceived(entries);
    const isAbsent = body.byteLength === 0 && JSON_TYPE.test(mediaTypeOf(head.contentType) || this.inner.contentType);
    const data = isAbsent ? null : this.inner.decode(body, head);
    const type = head.contentType === '' ? undefined : head.contentType;
    return this.given({ ...attributes, ...(type !== undefined && { datacontenttype: type }) }, data);
  }

  private readDocument(body: Uint8Array, head: MessageHead): unknown {
    const document = this.json.decode(body);
    if (typeof document !== 'object' || document === null || Array.isArray(document)) {
      throw new DecodeError('The body is no CloudEvent: it is not a JSON object. Batches are not read.');
    }
    const attributes = attributesReceived(Object.entries(document));
    return this.given(attributes, this.dataOf(document, attributes, head));
  }

  private dataOf(
    document: object,
    { datacontenttype }: Readonly<Record<string, CloudEventValue>>,
    head: MessageHead,
  ): unknown {
    const { data = null, data_base64: base64 = null } = document as { readonly [name: string]: unknown };
    if (data === null && base64 === null) return null;
    const contentType = typeof datacontenttype === 'string' ? datacontenttype : 'application/json';
    const type = mediaTypeOf(contentType);
    const isJson = JSON_TYPE.test(type);
    const isKnown = type === this.inner.contentType || this.inner.contentTypeAliases?.includes(type);
    if (!isKnown && !(isJson && JSON_TYPE.test(this.inner.contentType))) {
      throw new DecodeError('The data of the CloudEvent has a content type that is not decoded here.');
    }
    if (base64 !== null) {
      if (data !== null) throw new DecodeError('The CloudEvent has its data twice.');
      return this.inner.decode(fromBase64(base64), { ...head, contentType });
    }
    if (isJson && this.inner === this.json) return data;
    if (!isJson && typeof data !== 'string')
      throw new DecodeError('The data of the CloudEvent is not of its content type.');
    const bytes = Buffer.from(isJson ? JSON.stringify(data) : (data as string));
    return this.inner.decode(bytes, { ...head, contentType });
  }

  private given(attributes: Readonly<Record<string, CloudEventValue>>, data: unknown): unknown {
    decodedOf(data);
    return this.options.payload === 'event' ? { ...attributes, data } : data;
  }
}

/** There are none when the bus is given the class alone. */
function assertOptions(options: Partial<CloudEventsSerializerOptions> = {}): void {
  const { mode, source, payload, acceptPlain, data } = options;
  const problems: string[] = [];
  if (mode !== 'binary' && mode !== 'structured') problems.push("mode must be 'binary' or 'structured'.");
  if (source !== undefined && !isUriReference(source)) {
    problems.push("source must be a URI reference, such as '/shop/orders' or 'urn:shop:orders'.");
  }
  if (payload !== undefined && payload !== 'data' && payload !== 'event') {
    problems.push("payload must be 'data' or 'event'.");
  }
  if (acceptPlain && mode === 'structured') {
    problems.push("acceptPlain is for mode 'binary'; put 'json' into `accept` of the bus instead.");
  }
  const codings = (data?.contentEncodings ?? []).flatMap((coding) => codingsOf(coding));
  if (mode === 'structured' && codings.length > 0) {
    problems.push(
      'data within a CloudEvent cannot be compressed or encrypted. Wrap the CloudEventsSerializer instead.',
    );
  }
  if (mode === 'binary' && codings.includes('aes256gcm')) {
    problems.push(
      "attributes in headers are not authenticated. Use encrypted(new CloudEventsSerializer({ mode: 'structured' })).",
    );
  }
  if (problems.length > 0) throw new ConfigurationError(problems.map((problem) => `CloudEventsSerializer: ${problem}`));
}

function attributesOf(head: MessageHead): CloudEventAttributes {
  const { id, type, topic, timestamp, correlationId, causationId, key, expiresAt } = head;
  return {
    specversion: SPEC_VERSION,
    id,
    type: type || topic || undefined,
    subject: topic || undefined,
    time: new Date(timestamp).toISOString(),
    correlationid: correlationId,
    causationid: causationId,
    partitionkey: key,
    expirytime: expiresAt === undefined ? undefined : new Date(expiresAt).toISOString(),
  };
}

function withHeaders(data: EncodedBody, attributes: CloudEventAttributes): EncodedBody {
  const headers: Record<string, CloudEventValue> = { ...data.headers };
  for (const [name, value] of Object.entries(attributes)) if (value !== undefined) headers[PREFIX + name] = value;
  return { ...data, headers };
}

/** JSON stays JSON and text stays text; all else is base64. */
function memberOf(body: Uint8Array, type: string): string {
  const bytes = Buffer.from(body.buffer, body.byteOffset, body.byteLength);
  if (JSON_TYPE.test(type)) return `"data":${bytes.toString()}`;
  if (type.startsWith('text/') && isUtf8(bytes)) return `"data":${JSON.stringify(bytes.toString())}`;
  return `"data_base64":"${bytes.toString('base64')}"`;
}

function fromBase64(text: unknown): Buffer {
  const bytes = typeof text === 'string' ? Buffer.from(text, 'base64') : undefined;
  if (bytes === undefined || bytes.toString('base64') !== text) {
    throw new DecodeError('The "data_base64" of the CloudEvent is no base64.');
  }
  return bytes;
}
