import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { freePorts } from './free-ports.js';

/**
 * What happens to who comes: `forward` to the broker, `reset` at once, or `silent`: accepted and never answered.
 * `closed`: nobody listens.
 */
export type DoorState = 'forward' | 'reset' | 'silent' | 'closed';

/** An address of a broker that can be shut, and that keeps who came and when. Connections that stand are cut by hand. */
export class Door {
  /** When each connection came, in milliseconds of `performance.now()`. Nobody comes to a closed door. */
  readonly arrivals: number[] = [];
  /** The largest number of connections that were open together. */
  mostAtOnce = 0;
  private readonly clients = new Set<Socket>();
  private readonly brokers = new Set<Socket>();
  private state: DoorState = 'closed';
  private server: Server | undefined;

  private constructor(
    private readonly target: string,
    readonly port: number,
  ) {}

  static async open(target: string, state: DoorState = 'forward'): Promise<Door> {
    const [door] = await Door.openMany(target, 1, state);
    return door as Door;
  }

  static async openMany(target: string, count: number, state: DoorState = 'forward'): Promise<readonly Door[]> {
    const doors = (await freePorts(count)).map((port) => new Door(target, port));
    await Promise.all(doors.map((door) => door.turn(state)));
    return doors;
  }

  /** The target's URL by way of this door; with other credentials when given. */
  url(credentials?: { readonly user: string; readonly password: string }, vhost?: string): string {
    const url = new URL(this.target);
    url.hostname = '127.0.0.1';
    url.port = String(this.port);
    if (credentials) {
      url.username = encodeURIComponent(credentials.user);
      url.password = encodeURIComponent(credentials.password);
    }
    if (vhost !== undefined) url.pathname = `/${encodeURIComponent(vhost)}`;
    return url.href;
  }

  /** Open now. */
  get connections(): number {
    return this.clients.size;
  }

  /** For those who come from now on. */
  async turn(state: DoorState): Promise<void> {
    this.state = state;
    if (state !== 'closed') {
      await this.listen();
      return;
    }
    const { server } = this;
    this.server = undefined;
    if (!server) return;
    server.close();
    this.cut();
    await once(server, 'close');
  }

  /** Sends RST on every connection. @returns how many */
  cut(): number {
    const count = this.clients.size;
    for (const socket of [...this.clients, ...this.brokers]) socket.resetAndDestroy();
    return count;
  }

  /** Stops forwarding on every connection; TCP stays open. @returns how many */
  freeze(): number {
    for (const socket of [...this.clients, ...this.brokers]) {
      socket.unpipe();
      socket.removeAllListeners('close').on('close', () => this.forget(socket));
      socket.resume();
    }
    return this.clients.size;
  }

  private async listen(): Promise<void> {
    if (this.server) return;
    const server = createServer({ noDelay: true }, (client) => this.accept(client));
    this.server = server;
    server.listen(this.port, '127.0.0.1');
    await once(server, 'listening');
  }

  private accept(client: Socket): void {
    this.arrivals.push(performance.now());
    this.keep(client, this.clients);
    this.mostAtOnce = Math.max(this.mostAtOnce, this.clients.size);
    if (this.state === 'reset') client.resetAndDestroy();
    if (this.state === 'silent') client.resume();
    if (this.state !== 'forward') return;
    const { hostname, port } = new URL(this.target);
    const broker = connect({ host: hostname, port: Number(port || 5_672), noDelay: true });
    this.keep(broker, this.brokers);
    for (const [from, to] of [
      [client, broker],
      [broker, client],
    ] as const) {
      from.on('close', () => to.destroy());
      from.pipe(to);
    }
  }

  private keep(socket: Socket, sockets: Set<Socket>): void {
    sockets.add(socket);
    socket.on('error', () => undefined).on('close', () => this.forget(socket));
  }

  private forget(socket: Socket): void {
    this.clients.delete(socket);
    this.brokers.delete(socket);
  }
}
