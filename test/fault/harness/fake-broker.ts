import { once } from 'node:events';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { ANSWERS, storeMessage } from './fake-broker.answers.js';
import type { FakeChannel } from './fake-broker.channel.js';
import { FakeLink } from './fake-broker.link.js';
import type { FakeMessage } from './fake-broker.queue.js';
import { FakeStore } from './fake-broker.store.js';
import type { Fields, MethodName } from './fake-broker.wire.js';

/** A method of a client, as it arrived; a publish together with its content. */
export interface Call {
  readonly link: FakeLink;
  readonly channel: FakeChannel;
  readonly method: MethodName;
  readonly fields: Fields;
  readonly message?: FakeMessage;
}

/** Does something else than a broker would. @returns true when that is all that happens */
export type Script = (call: Call) => boolean;

export interface Recorded {
  readonly at: number;
  readonly link: number;
  readonly channel: number;
  readonly method: MethodName;
  readonly fields: Fields;
  readonly message?: FakeMessage;
}

const SERVER_PROPERTIES = {
  product: 'FakeBroker',
  version: '0.0.0',
  capabilities: {
    publisher_confirms: true,
    'basic.nack': true,
    consumer_cancel_notify: true,
    'connection.blocked': true,
  },
};

/**
 * An AMQP broker in memory, just large enough for a bus, that does on demand what a real one does not: scripts take the
 * place of its answers. It records every method that comes and goes.
 */
export class FakeBroker {
  readonly store = new FakeStore();
  readonly received: Recorded[] = [];
  readonly sent: Recorded[] = [];
  /** Every queue.declare as it stood on the wire, its number first. */
  readonly declarations: Buffer[] = [];
  /** Open now. */
  readonly links = new Set<FakeLink>();
  /** What went wrong in a script or in the broker itself: a test must find none. */
  readonly failures: unknown[] = [];
  private readonly scripts = new Map<MethodName, Script[]>();
  private readonly server: Server;
  private isMute = false;
  private accepted = 0;

  constructor() {
    this.server = createServer({ noDelay: true }, (socket) => {
      const link = new FakeLink(this, socket, ++this.accepted);
      link.isSilent = this.isMute;
      this.links.add(link);
    });
  }

  get url(): string {
    return `amqp://guest:guest@127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  /** Connections that ever came. */
  get connections(): number {
    return this.accepted;
  }

  async listen(): Promise<this> {
    this.server.listen(0, '127.0.0.1');
    await once(this.server, 'listening');
    return this;
  }

  async close(): Promise<void> {
    this.server.close();
    for (const link of this.links) link.destroy();
    await once(this.server, 'close');
  }

  /** The script that was added last is asked first. @returns the way to take it out again */
  on(method: MethodName, script: Script): () => void {
    this.scripts.set(method, [script, ...(this.scripts.get(method) ?? [])]);
    return () => {
      const others = (this.scripts.get(method) ?? []).filter((each) => each !== script);
      this.scripts.set(method, others);
    };
  }

  /** For the next such call only. */
  once(method: MethodName, script: Script): void {
    const off = this.on(method, (call) => {
      off();
      return script(call);
    });
  }

  /** New connections get no answer, not even to their first bytes. */
  mute(isOn: boolean): void {
    this.isMute = isOn;
  }

  /** The one open connection for a purpose. */
  linkTo(purpose: 'publish' | 'consume'): FakeLink {
    const links = [...this.links].filter(({ name }) => name.endsWith(` ${purpose}`));
    if (links.length !== 1) throw new Error(`There are ${links.length} connections to ${purpose}.`);
    return links[0] as FakeLink;
  }

  got(method: MethodName): readonly Recorded[] {
    return this.received.filter((call) => call.method === method);
  }

  gave(method: MethodName): readonly Recorded[] {
    return this.sent.filter((call) => call.method === method);
  }

  /** Ids of the messages that came for a topic, in order, each as often as it came. */
  ids(topic: string): readonly unknown[] {
    const publishes = this.got('BasicPublish').flatMap(({ message }) => message ?? []);
    return publishes.filter(({ routingKey }) => routingKey === topic).map(({ properties }) => properties.messageId);
  }

  /** All that a broker does with a message, except to confirm it. */
  keep(call: Call): void {
    storeMessage(call, this.store);
  }

  /** @internal */
  greet(link: FakeLink): void {
    link.send('ConnectionStart', 0, { versionMajor: 0, versionMinor: 9, serverProperties: SERVER_PROPERTIES });
  }

  /** @internal */
  forget(link: FakeLink): void {
    this.links.delete(link);
    this.store.removeQueuesOf(link);
  }

  /** @internal */
  recordSent(link: FakeLink, { method, channel, fields }: Pick<Recorded, 'method' | 'channel' | 'fields'>): void {
    this.sent.push({ at: Date.now(), link: link.id, channel, method, fields });
  }

  /** What a service writes down of its groups goes on beside everything, and is no part of any script. */
  private keepApart({ link, channel }: Call): void {
    channel.isBookkeeping = true;
    for (let i = this.received.length - 1; i >= 0; i--) {
      const { link: id, channel: number, method } = this.received[i] ?? {};
      if (id !== link.id || number !== channel.id) continue;
      this.received.splice(i, 1);
      if (method === 'ChannelOpen') return;
    }
  }

  /** @internal @param isIgnored what comes before the client has agreed to a close does not count */
  handle(call: Call, isIgnored: boolean): void {
    const { link, channel, method, fields, message } = call;
    const at = Date.now();
    if (!channel.isBookkeeping && isOfRecord(call)) this.keepApart(call);
    if (channel.isBookkeeping) {
      if (isIgnored) return;
      if (method === 'BasicPublish') channel.published++;
      ANSWERS[method]?.(call, this.store);
      return;
    }
    this.received.push({ at, link: link.id, channel: channel.id, method, fields, ...(message && { message }) });
    if (isIgnored) return;
    if (method === 'BasicPublish') channel.published++;
    if ((this.scripts.get(method) ?? []).some((script) => script(call))) return;
    const answer = ANSWERS[method];
    if (answer) answer(call, this.store);
    else link.close(540, `NOT_IMPLEMENTED - ${method}`);
  }
}

/** Whether a channel is used for the record of groups, or for a look at a queue. */
function isOfRecord({ method, fields }: Call): boolean {
  const { queue, passive } = fields as { readonly queue?: string; readonly passive?: boolean };
  return (
    (method.startsWith('Queue') || method === 'BasicGet') && (passive === true || queue?.includes('.groups.') === true)
  );
}
