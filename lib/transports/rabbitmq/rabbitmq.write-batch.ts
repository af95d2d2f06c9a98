import type { ChannelModel } from 'amqplib';

interface Corkable {
  cork(): void;
  uncork(): void;
}

/**
 * Puts what is written in one turn of the event loop into one system call. The driver writes every frame by itself, which
 * costs more than making it; it hands frames to the socket in a `setImmediate` that it asks for in a `nextTick`.
 */
export class WriteBatch {
  private readonly socket: Corkable | undefined;
  private isOpen = false;

  constructor(connection: ChannelModel) {
    const { stream } = connection.connection as unknown as { readonly stream?: Partial<Corkable> };
    if (typeof stream?.cork === 'function' && typeof stream.uncork === 'function') this.socket = stream as Corkable;
  }

  /** Call before writing. */
  begin(): void {
    if (this.isOpen || !this.socket) return;
    this.isOpen = true;
    this.socket.cork();
    process.nextTick(this.afterThisTick);
  }

  /** By now the driver has asked for its `nextTick`; ours must come after it. */
  private readonly afterThisTick = (): void => {
    process.nextTick(this.afterFrames);
  };

  private readonly afterFrames = (): void => {
    setImmediate(this.end);
  };

  private readonly end = (): void => {
    this.isOpen = false;
    this.socket?.uncork();
  };
}
