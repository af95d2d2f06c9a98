import type { Socket } from 'node:net';
import { FakeChannel } from './fake-broker.channel.js';
import type { FakeBroker } from './fake-broker.js';
import type { FakeMessage } from './fake-broker.queue.js';
import {
  encodeMethod,
  type Fields,
  FrameReader,
  HEARTBEAT,
  type Incoming,
  type MethodName,
} from './fake-broker.wire.js';

const FRAME_MAX = 131_072;

interface Content {
  readonly fields: Fields;
  properties: Fields;
  missing: number;
  readonly body: Buffer[];
}

/** The broker's end of one connection. */
export class FakeLink {
  readonly channels = new Map<number, FakeChannel>();
  readonly frameMax = FRAME_MAX;
  /** What the client calls itself: its service and what the connection is for. */
  name = '';
  /** Neither answers nor beats, and TCP stays open: for good, as what it was sent is lost. */
  isSilent = false;
  private isClosing = false;
  private header: Buffer | undefined = Buffer.alloc(0);
  private readonly reader = new FrameReader();
  private readonly contents = new Map<number, Content>();
  private heardAt = Date.now();
  private openedAt = Number.POSITIVE_INFINITY;
  private beats: NodeJS.Timeout | undefined;

  constructor(
    private readonly broker: FakeBroker,
    private readonly socket: Socket,
    readonly id: number,
  ) {
    socket
      .on('data', (chunk) => this.receive(chunk))
      .on('error', () => undefined)
      .on('close', () => this.end());
  }

  /** How long ago the client asked to begin, after the handshake. */
  get openMs(): number {
    return Date.now() - this.openedAt;
  }

  write(bytes: Buffer): void {
    if (!this.isSilent && this.socket.writable) this.socket.write(bytes);
  }

  send(method: MethodName, channel: number, fields: Fields = {}): void {
    this.broker.recordSent(this, { method, channel, fields });
    this.write(encodeMethod(method, channel, fields));
  }

  /** Closes it as an operator or a failing broker does. */
  close(replyCode: number, replyText: string): void {
    this.isClosing = true;
    this.send('ConnectionClose', 0, { replyCode, replyText, classId: 0, methodId: 0 });
    this.release();
  }

  block(reason: string): void {
    this.send('ConnectionBlocked', 0, { reason });
  }

  unblock(): void {
    this.send('ConnectionUnblocked', 0);
  }

  /** Without a word. */
  destroy(): void {
    this.socket.destroy();
  }

  reset(): void {
    this.socket.resetAndDestroy();
  }

  endSocket(): void {
    this.socket.end();
  }

  private receive(chunk: Buffer): void {
    this.heardAt = Date.now();
    if (this.isSilent) return;
    let bytes = chunk;
    if (this.header) {
      this.header = Buffer.concat([this.header, chunk]);
      const rest = FrameReader.afterHeader(this.header);
      if (!rest) return;
      this.header = undefined;
      this.broker.greet(this);
      bytes = rest;
    }
    try {
      for (const frame of this.reader.read(bytes)) this.accept(frame);
    } catch (error) {
      this.broker.failures.push(error);
      this.socket.destroy();
    }
  }

  private accept(frame: Incoming): void {
    if (this.isSilent || frame.kind === 'heartbeat') return;
    if (frame.kind === 'header') this.begin(frame.channel, frame.size, frame.properties);
    else if (frame.kind === 'body') this.add(frame.channel, frame.content);
    else if (frame.method === 'BasicPublish') {
      this.contents.set(frame.channel, { fields: frame.fields, properties: {}, missing: 0, body: [] });
    } else {
      if (frame.method === 'QueueDeclare') this.broker.declarations.push(frame.payload);
      this.call(frame.method, frame.channel, frame.fields);
    }
  }

  private begin(channel: number, size: number, properties: Fields): void {
    const content = this.contents.get(channel);
    if (!content) throw new Error(`A header without a publish on channel ${channel}.`);
    content.properties = properties;
    content.missing = size;
    if (size === 0) this.finish(channel, content);
  }

  private add(channel: number, part: Buffer): void {
    const content = this.contents.get(channel);
    if (!content) throw new Error(`A body without a publish on channel ${channel}.`);
    content.body.push(part);
    content.missing -= part.length;
    if (content.missing <= 0) this.finish(channel, content);
  }

  private finish(channel: number, { fields, properties, body }: Content): void {
    this.contents.delete(channel);
    const { exchange, routingKey, mandatory } = fields as unknown as FakeMessage;
    this.call('BasicPublish', channel, fields, {
      exchange,
      routingKey,
      mandatory,
      properties,
      body: Buffer.concat(body),
    });
  }

  private call(method: MethodName, id: number, fields: Fields, message?: FakeMessage): void {
    if (method === 'ConnectionStartOk') this.name = nameOf(fields);
    if (method === 'ConnectionOpen') this.openedAt = Date.now();
    if (method === 'ConnectionTuneOk') this.beat(fields.heartbeat as number);
    if (method === 'ChannelOpen') {
      this.channels.get(id)?.end();
      this.channels.set(id, new FakeChannel(this, id));
    }
    // channel 0 is the connection itself
    const channel = this.channels.get(id) ?? new FakeChannel(this, id);
    const isClosing = method === 'ChannelClose' || method === 'ChannelCloseOk';
    const isIgnored = (this.isClosing && id !== 0) || (channel.isClosing && !isClosing);
    this.broker.handle({ link: this, channel, method, fields, ...(message && { message }) }, isIgnored);
  }

  /** Sends heartbeats, and gives up a client that sends none. */
  private beat(seconds: number): void {
    if (seconds === 0) return;
    this.beats = setInterval(() => {
      if (Date.now() - this.heardAt > seconds * 2_000) this.destroy();
      else this.write(HEARTBEAT);
    }, seconds * 500);
  }

  private release(): void {
    for (const channel of this.channels.values()) channel.end();
    this.channels.clear();
  }

  private end(): void {
    clearInterval(this.beats);
    this.release();
    this.broker.forget(this);
  }
}

function nameOf({ clientProperties }: Fields): string {
  const { connection_name: name } = clientProperties as { readonly connection_name?: unknown };
  return typeof name === 'string' ? name : '';
}
