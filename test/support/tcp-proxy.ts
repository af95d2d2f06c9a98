import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

/** A port on which nothing listens. */
export async function closedPort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

/** The same URL, elsewhere. */
export function withPort(url: string, port: number): string {
  const moved = new URL(url);
  moved.hostname = '127.0.0.1';
  moved.port = String(port);
  return moved.href;
}

export type Direction = 'to-broker' | 'to-client';

/** What late bytes may take up before the sender is held. */
const LATE_BYTES = 1_048_576;
const PROTOCOL_HEADER_BYTES = 8;
const FRAME_HEAD_BYTES = 7;
/** A heartbeat is just that long. */
const SMALLEST_FRAME_BYTES = 8;
/** In which a part that was forwarded is read. */
const READ_MS = 10;
const NOTHING = Buffer.alloc(0);

/** Forwards to a broker, from a time of the test's choosing on, and breaks what it forwards when told to. */
export class TcpProxy {
  private readonly pairs = new Set<Pair>();
  private readonly server: Server;
  private readonly fault: Fault = { swallow: new Set(), latencyMs: 0, jitterMs: 0, swallowed: 0, cuts: 0 };
  private isRefusing = false;
  private ended = 0;
  private turnedAway = 0;

  constructor(private readonly target: string) {
    this.server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => this.accept(client));
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  /** Open now. */
  get connections(): number {
    return [...this.pairs].filter(({ isOpen }) => isOpen).length;
  }

  /** How many connections a fault has ended: `reset`, `resetMidFrame` and `drop`. */
  get resets(): number {
    return this.ended;
  }

  /** How many connections were refused. */
  get refused(): number {
    return this.turnedAway;
  }

  /** How many bytes went into a black hole. */
  get swallowed(): number {
    return this.fault.swallowed;
  }

  async listen(port = 0): Promise<this> {
    this.server.listen(port, '127.0.0.1');
    await once(this.server, 'listening');
    return this;
  }

  /** Closes every connection in good order. */
  drop(): number {
    return this.endAll((pair) => pair.destroy());
  }

  /** Sends RST on every connection, to both sides. @returns how many */
  reset(): number {
    return this.endAll((pair) => pair.reset());
  }

  /**
   * On every connection that is open now: of the next bytes, whichever way, that are more than a heartbeat, only a part
   * is forwarded, so that a frame is left unfinished, and then RST is sent to both sides.
   *
   * @param waitMs a connection on which nothing goes in this time is left alone
   * @returns how many
   */
  async resetMidFrame(waitMs = 5_000): Promise<number> {
    const cuts = [...this.pairs].filter(({ isOpen }) => isOpen).map((pair) => pair.cut(waitMs));
    const count = (await Promise.all(cuts)).filter(Boolean).length;
    this.ended += count;
    return count;
  }

  /**
   * Takes bytes and the end of a connection without passing them on; TCP stays open. A connection that has lost bytes
   * stays lost after `none`, as a stream with a hole in it would be worse than what a network does; new ones work.
   */
  blackhole(which: 'both' | Direction | 'none'): void {
    this.fault.swallow.clear();
    if (which === 'none') return;
    for (const each of which === 'both' ? (['to-broker', 'to-client'] as const) : [which]) this.fault.swallow.add(each);
  }

  /** Forwards later, each way, by so much and up to `jitterMs` more; in order. */
  latency(ms: number, jitterMs = 0): void {
    this.fault.latencyMs = ms;
    this.fault.jitterMs = jitterMs;
  }

  /** Answers new connections with RST. */
  refuse(on: boolean): void {
    this.isRefusing = on;
  }

  async close(): Promise<void> {
    if (!this.server.listening) return;
    this.server.close();
    for (const pair of this.pairs) pair.destroy();
    await once(this.server, 'close');
  }

  private endAll(end: (pair: Pair) => void): number {
    const { connections } = this;
    for (const pair of this.pairs) end(pair);
    this.ended += connections;
    return connections;
  }

  private accept(client: Socket): void {
    if (this.isRefusing) {
      this.turnedAway++;
      client.on('error', () => undefined).resetAndDestroy();
      return;
    }
    const { hostname, port } = new URL(this.target);
    const broker = connect({ host: hostname, port: Number(port || 5_672), noDelay: true, allowHalfOpen: true });
    this.pairs.add(new Pair(client, broker, this.fault, (pair) => this.pairs.delete(pair)));
  }
}

interface Fault {
  readonly swallow: Set<Direction>;
  latencyMs: number;
  jitterMs: number;
  swallowed: number;
  cuts: number;
}

/** One client with its connection to the broker. */
class Pair {
  private readonly flows: readonly Flow[];
  private open = 2;
  private onCut: ((isCut: boolean) => void) | undefined;

  constructor(
    private readonly client: Socket,
    private readonly broker: Socket,
    fault: Fault,
    onGone: (pair: Pair) => void,
  ) {
    this.flows = [new Flow(client, broker, 'to-broker', fault), new Flow(broker, client, 'to-client', fault)];
    for (const socket of [client, broker]) {
      socket.once('close', () => {
        this.open--;
        if (!this.isOpen) this.onCut?.(false);
        if (this.open === 0) onGone(this);
      });
    }
  }

  /** As the client sees it. */
  get isOpen(): boolean {
    return !this.client.destroyed && !this.client.readableEnded;
  }

  /** @returns whether a frame was cut, and not the wait over or the connection gone */
  async cut(waitMs: number): Promise<boolean> {
    const done = new Promise<boolean>((resolve) => {
      this.onCut = resolve;
    });
    const onPart = (): void => {
      this.onCut?.(true);
      this.reset();
    };
    for (const flow of this.flows) flow.cutNext(() => this.halt(), onPart);
    const timer = setTimeout(() => this.onCut?.(false), waitMs);
    const isCut = await done;
    clearTimeout(timer);
    for (const flow of this.flows) flow.cutNext();
    return isCut;
  }

  reset(): void {
    this.halt();
    this.client.resetAndDestroy();
    this.broker.resetAndDestroy();
  }

  destroy(): void {
    this.halt();
    this.client.destroy();
    this.broker.destroy();
  }

  private halt(): void {
    for (const flow of this.flows) flow.halt();
  }
}

/** One way of a pair. */
class Flow {
  private readonly frames: FrameEnds;
  private readonly late: { readonly chunk: Buffer | undefined; readonly at: number }[] = [];
  private lateBytes = 0;
  private lastAt = 0;
  private timer: NodeJS.Timeout | undefined;
  private isLost = false;
  private isHalted = false;
  private isFull = false;
  private cutter: { readonly before: () => void; readonly after: () => void } | undefined;

  constructor(
    private readonly from: Socket,
    private readonly to: Socket,
    private readonly direction: Direction,
    private readonly fault: Fault,
  ) {
    this.frames = new FrameEnds(direction === 'to-broker' ? PROTOCOL_HEADER_BYTES : 0);
    from
      .on('data', (chunk: Buffer) => this.receive(chunk))
      .on('end', () => this.forward(undefined))
      .on('error', () => undefined)
      .on('close', () => {
        // a socket that failed has no end to forward
        if (!this.isSwallowing && (from.errored || !from.readableEnded)) to.destroy();
      });
    to.on('drain', () => {
      this.isFull = false;
      this.breathe();
    });
  }

  /** Without arguments: no longer. */
  cutNext(before?: () => void, after?: () => void): void {
    this.cutter = before && after ? { before, after } : undefined;
  }

  /** Forwards nothing more. */
  halt(): void {
    this.isHalted = true;
    clearTimeout(this.timer);
  }

  private get isSwallowing(): boolean {
    return this.isLost || this.fault.swallow.has(this.direction);
  }

  private receive(chunk: Buffer): void {
    const isCut = this.cutter && chunk.length > SMALLEST_FRAME_BYTES && !this.isSwallowing && !this.isHalted;
    const ends = isCut ? new Set<number>() : undefined;
    this.frames.follow(chunk, ends);
    if (this.cutter && ends) this.cutInside(chunk, ends, this.cutter);
    else this.forward(chunk);
  }

  /** @param chunk absent: the end */
  private forward(chunk: Buffer | undefined): void {
    if (this.isHalted) return;
    if (this.isSwallowing) {
      this.isLost = true;
      this.fault.swallowed += chunk?.length ?? 0;
      return;
    }
    const { latencyMs, jitterMs } = this.fault;
    const delay = latencyMs + Math.random() * jitterMs;
    if (delay === 0 && this.late.length === 0) {
      this.send(chunk);
      return;
    }
    this.lastAt = Math.max(this.lastAt, Date.now() + delay);
    this.late.push({ chunk, at: this.lastAt });
    this.lateBytes += chunk?.length ?? 0;
    this.breathe();
    this.timer ??= setTimeout(this.sendDue, delay);
  }

  private readonly sendDue = (): void => {
    const now = Date.now();
    for (let first = this.late[0]; first && first.at <= now; first = this.late[0]) {
      this.late.shift();
      this.lateBytes -= first.chunk?.length ?? 0;
      this.send(first.chunk);
    }
    const next = this.late[0];
    this.timer = next && setTimeout(this.sendDue, Math.max(1, next.at - now));
    this.breathe();
  };

  private send(chunk: Buffer | undefined): void {
    if (!this.to.writable) return;
    if (chunk === undefined) this.to.end();
    else if (!this.to.write(chunk)) {
      this.isFull = true;
      this.breathe();
    }
  }

  private breathe(): void {
    if (this.isFull || this.lateBytes > LATE_BYTES) this.from.pause();
    else if (this.from.isPaused()) this.from.resume();
  }

  private cutInside(chunk: Buffer, ends: ReadonlySet<number>, { before, after }: NonNullable<Flow['cutter']>): void {
    before();
    for (const { chunk: earlier } of this.late.splice(0)) if (earlier) this.to.write(earlier);
    // somewhere else each time
    let cut = 1 + ((37 * ++this.fault.cuts) % (chunk.length - 1));
    if (ends.has(cut)) cut += cut > 1 ? -1 : 1;
    // what has not been read yet when RST comes would pass for the end of the stream
    this.to.write(chunk.subarray(0, cut), () => setTimeout(after, READ_MS));
  }
}

/** Where frames end in a stream of AMQP. */
class FrameEnds {
  private head = NOTHING;

  constructor(private left: number) {}

  /** @param ends gets where frames end in this chunk */
  follow(chunk: Buffer, ends?: Set<number>): void {
    for (let at = 0; at < chunk.length; ) {
      if (this.left === 0) {
        const isWhole = this.head.length === 0 && at + FRAME_HEAD_BYTES <= chunk.length;
        const part = isWhole ? NOTHING : chunk.subarray(at, at + FRAME_HEAD_BYTES - this.head.length);
        this.head = isWhole ? NOTHING : Buffer.concat([this.head, part]);
        if (!isWhole && this.head.length < FRAME_HEAD_BYTES) return;
        this.left = (isWhole ? chunk.readUInt32BE(at + 3) : this.head.readUInt32BE(3)) + 1;
        at += isWhole ? FRAME_HEAD_BYTES : part.length;
        this.head = NOTHING;
      }
      const step = Math.min(this.left, chunk.length - at);
      this.left -= step;
      at += step;
      if (this.left === 0) ends?.add(at);
    }
  }
}
