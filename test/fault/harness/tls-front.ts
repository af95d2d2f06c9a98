import { once } from 'node:events';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { createServer, type SecureContextOptions, type Server, type TLSSocket, type TlsOptions } from 'node:tls';

/** A handshake as the server saw it. */
interface Handshake {
  readonly protocol: string | null;
  readonly cipher: string;
  readonly servername: string;
  /** Whether it asked for a certificate, got one, and believes it. */
  readonly authorized: boolean;
  /** Common name of the client's certificate. */
  readonly client: string | undefined;
}

/** Ends TLS in front of a broker that speaks plain AMQP, and keeps what the server knows of each handshake. */
export class TlsFront {
  readonly accepted: Handshake[] = [];
  /** Why handshakes failed. */
  readonly refused: Error[] = [];
  /** Connections of clients so far, whatever came of them. */
  attempts = 0;
  private readonly sockets = new Set<Socket>();
  private readonly server: Server;

  constructor(
    private readonly target: string,
    options: TlsOptions,
  ) {
    this.server = createServer(options, (client) => this.forward(client));
    this.server.on('connection', (socket: Socket) => {
      this.attempts++;
      this.keep(socket);
    });
    this.server.on('tlsClientError', (error: Error) => this.refused.push(error));
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  async listen(): Promise<this> {
    this.server.listen(0, '127.0.0.1');
    await once(this.server, 'listening');
    return this;
  }

  /** The target's URL with TLS, by way of this listener. */
  url(host = '127.0.0.1'): string {
    const url = new URL(this.target);
    url.hostname = host;
    url.port = String(this.port);
    return url.href.replace(/^amqp:/, 'amqps:');
  }

  /** Shows another certificate from now on. */
  present(options: SecureContextOptions): void {
    this.server.setSecureContext(options);
  }

  /** Cuts every connection. */
  drop(): void {
    for (const socket of this.sockets) socket.destroy();
  }

  async close(): Promise<void> {
    if (!this.server.listening) return;
    this.server.close();
    this.drop();
    await once(this.server, 'close');
  }

  private forward(client: TLSSocket): void {
    const name: unknown = client.getPeerCertificate().subject?.CN;
    this.accepted.push({
      protocol: client.getProtocol(),
      cipher: client.getCipher().name,
      servername: typeof client.servername === 'string' ? client.servername : '',
      authorized: client.authorized,
      client: typeof name === 'string' ? name : undefined,
    });
    const { hostname, port } = new URL(this.target);
    const broker = connect({ host: hostname, port: Number(port || 5_672), noDelay: true });
    this.keep(broker);
    for (const [from, to] of [
      [client, broker],
      [broker, client],
    ] as const) {
      from.on('error', () => to.destroy()).on('close', () => to.destroy());
      from.pipe(to);
    }
  }

  private keep(socket: Socket): void {
    this.sockets.add(socket);
    socket.on('error', () => undefined).on('close', () => this.sockets.delete(socket));
  }
}
