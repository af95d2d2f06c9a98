import { execFile } from 'node:child_process';
import { existsSync, openSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { promisify } from 'node:util';
import { untilHandshake, versionOf } from './amqp-probe.js';
import { BoundProcess } from './bound-process.js';
import { freePorts } from './free-ports.js';

const run = promisify(execFile);

const SERVERS = ['/usr/lib/rabbitmq/bin/rabbitmq-server', '/opt/rabbitmq/sbin/rabbitmq-server'];
const BOOT_MS = 90_000;
const STOP_MS = 30_000;
const CTL_MS = 60_000;

/**
 * RabbitMQ 3.10 writes down which quorum queues there are every half second. One that is younger when the broker is killed
 * never answers again, whatever was confirmed to be in it, and to whichever client.
 */
const QUEUE_SETTLE_MS = 2_000;

export interface RabbitMqNodeOptions {
  /** A second listener, with TLS. */
  readonly tls?: {
    readonly caFile: string;
    readonly certFile: string;
    readonly keyFile: string;
    /** `true`: a client without a certificate is refused. */
    readonly verifyPeer?: boolean;
  };
  /** Further lines of rabbitmq.conf. */
  readonly config?: readonly string[];
  /** What rabbitmq.conf has no word for: settings of the server's application, as Erlang terms. */
  readonly advanced?: readonly string[];
  /** Those that are enabled. Default: none. */
  readonly plugins?: readonly string[];
}

/** Where the server script of this machine is, or undefined. */
export function findRabbitMqServer(): string | undefined {
  return [process.env.RABBITMQ_SERVER, ...SERVERS].find((path) => path !== undefined && existsSync(path));
}

/**
 * A RabbitMQ of one's own, to break at will: ports, name, cookie, data folder and name server (epmd) belong to nobody
 * else, and no process of it outlives this one.
 */
export class RabbitMqNode {
  /** Kills and freezes so far. A proof in which it is 0 has proved nothing. */
  faults = 0;
  private beam: BoundProcess | undefined;
  private epmd: BoundProcess | undefined;

  private constructor(
    private readonly server: string,
    private readonly folder: string,
    private readonly env: NodeJS.ProcessEnv,
    readonly port: number,
    readonly tlsPort: number,
    private readonly epmdPort: number,
  ) {}

  /** Made, not started. */
  static async create({
    tls,
    config = [],
    advanced = [],
    plugins = [],
  }: RabbitMqNodeOptions = {}): Promise<RabbitMqNode> {
    const server = findRabbitMqServer();
    if (server === undefined) {
      const looked = SERVERS.join(' or ');
      throw new Error(`No rabbitmq-server found (${looked}). Install RabbitMQ, or set RABBITMQ_SERVER to its script.`);
    }
    const [port = 0, distribution = 0, epmdPort = 0, tlsPort = 0] = await freePorts(4);
    const folder = await mkdtemp(join(tmpdir(), 'rabbitmq-node-'));
    const path = (name: string): string => join(folder, name);
    await Promise.all(['home', 'mnesia', 'log'].map((name) => mkdir(path(name))));
    const lines = [
      `listeners.tcp.1 = 127.0.0.1:${port}`,
      'loopback_users = none',
      'log.console = false',
      'log.file.level = warning',
      'disk_free_limit.absolute = 50MB',
      ...(tls
        ? [
            `listeners.ssl.1 = 127.0.0.1:${tlsPort}`,
            `ssl_options.cacertfile = ${tls.caFile}`,
            `ssl_options.certfile = ${tls.certFile}`,
            `ssl_options.keyfile = ${tls.keyFile}`,
            `ssl_options.verify = ${tls.verifyPeer ? 'verify_peer' : 'verify_none'}`,
            `ssl_options.fail_if_no_peer_cert = ${tls.verifyPeer === true}`,
          ]
        : []),
      ...config,
    ];
    await writeFile(path('rabbitmq.conf'), `${lines.join('\n')}\n`);
    await writeFile(path('advanced.config'), `[{rabbit, [${advanced.join(', ')}]}].\n`);
    await writeFile(path('enabled_plugins'), `[${plugins.join(', ')}].\n`);
    await writeFile(path('env.conf'), '');
    const env = {
      PATH: process.env.PATH,
      LANG: 'C.UTF-8',
      HOME: path('home'),
      RABBITMQ_NODENAME: `node${port}@localhost`,
      RABBITMQ_DIST_PORT: String(distribution),
      RABBITMQ_MNESIA_BASE: path('mnesia'),
      RABBITMQ_LOG_BASE: path('log'),
      RABBITMQ_CONFIG_FILE: path('rabbitmq.conf'),
      RABBITMQ_ADVANCED_CONFIG_FILE: path('advanced.config'),
      RABBITMQ_ENABLED_PLUGINS_FILE: path('enabled_plugins'),
      RABBITMQ_CONF_ENV_FILE: path('env.conf'),
      ERL_EPMD_PORT: String(epmdPort),
      ERL_EPMD_ADDRESS: '127.0.0.1',
      // the script then execs the virtual machine, so that its pid is the one that was spawned
      RUNNING_UNDER_SYSTEMD: 'true',
    };
    return new RabbitMqNode(server, folder, env, port, tlsPort, epmdPort);
  }

  /** A node that runs; the caller disposes of it. */
  static async start(options?: RabbitMqNodeOptions): Promise<RabbitMqNode> {
    const node = await RabbitMqNode.create(options);
    try {
      await node.start();
    } catch (error) {
      await node.dispose();
      throw error;
    }
    return node;
  }

  /** Of the virtual machine itself, not of a script around it. */
  get pid(): number | undefined {
    return this.beam?.pid;
  }

  get isRunning(): boolean {
    return this.beam?.isRunning ?? false;
  }

  url(user = 'guest:guest', vhost = ''): string {
    return `amqp://${user}@127.0.0.1:${this.port}${vhost === '' ? '' : `/${encodeURIComponent(vhost)}`}`;
  }

  /** The name that a certificate for tests usually carries. */
  tlsUrl(user = 'guest:guest'): string {
    return `amqps://${user}@localhost:${this.tlsPort}`;
  }

  /**
   * Starts it, or starts it again on the same data and ports.
   *
   * @returns when (Date.now) the broker first answered a handshake
   */
  async start(): Promise<number> {
    if (this.isRunning) throw new Error('The node runs already.');
    await this.startNameServer();
    const output = openSync(join(this.folder, 'log', 'output.log'), 'a');
    const beam = BoundProcess.spawn(this.server, [], this.env, output);
    this.beam = beam;
    try {
      return await untilHandshake(this.port, BOOT_MS, () => !beam.isRunning);
    } catch (error) {
      throw new Error(`${String(error)}\n${await this.output()}`, { cause: error });
    }
  }

  /** Enables these plug-ins and no others, from the next start on. */
  async setPlugins(...names: readonly string[]): Promise<void> {
    await writeFile(join(this.folder, 'enabled_plugins'), `[${names.join(', ')}].\n`);
  }

  restart(): Promise<number> {
    return this.start();
  }

  /** To be awaited between the declaration of queues and the first kill. */
  async settleQueues(): Promise<void> {
    await pause(QUEUE_SETTLE_MS);
  }

  /** SIGKILL: nothing is flushed, nothing is said to anyone. */
  async kill(): Promise<void> {
    if (!this.isRunning) throw new Error('The node does not run, so it cannot be killed.');
    this.faults++;
    await this.beam?.kill();
  }

  /** SIGSTOP: the system still accepts connections, but nobody answers. */
  pause(): void {
    if (!this.isRunning) throw new Error('The node does not run, so it cannot be frozen.');
    this.faults++;
    this.beam?.signal('SIGSTOP');
  }

  resume(): void {
    this.beam?.signal('SIGCONT');
  }

  /** SIGTERM: connections are told. */
  async stop(): Promise<void> {
    if (!this.beam?.isRunning) return;
    this.beam.signal('SIGTERM');
    const ended = await Promise.race([this.beam.exit, pause(STOP_MS, undefined, { ref: false })]);
    if (!ended) await this.beam.kill();
  }

  /** Runs rabbitmqctl against this node. */
  async ctl(...args: readonly string[]): Promise<string> {
    const ctl = join(dirname(this.server), 'rabbitmqctl');
    const { stdout } = await run(ctl, ['-q', ...args], { env: this.env, timeout: CTL_MS });
    return stdout.trim();
  }

  version(): Promise<string> {
    return versionOf(this.url());
  }

  /** What it wrote, for the report of a failure. */
  async output(): Promise<string> {
    const text = await readFile(join(this.folder, 'log', 'output.log'), 'utf8').catch(() => '');
    return text.split('\n').slice(-30).join('\n');
  }

  /** Its whole log, from warnings on. */
  async log(): Promise<string> {
    const folder = join(this.folder, 'log');
    const files = (await readdir(folder)).filter((file) => file.endsWith('.log'));
    return (await Promise.all(files.map((file) => readFile(join(folder, file), 'utf8')))).join('');
  }

  async dispose(): Promise<void> {
    await this.beam?.kill();
    await this.epmd?.kill();
    await rm(this.folder, { recursive: true, force: true, maxRetries: 5 });
  }

  private async startNameServer(): Promise<void> {
    if (this.epmd?.isRunning) return;
    this.epmd = BoundProcess.spawn(
      'epmd',
      ['-port', String(this.epmdPort), '-address', '127.0.0.1'],
      this.env,
      'ignore',
    );
    // without it the server would start a daemon of its own, which nobody ends
    const isUp = async (): Promise<boolean> =>
      run('epmd', ['-port', String(this.epmdPort), '-names'], { env: this.env }).then(
        () => true,
        () => false,
      );
    while (!(await isUp())) {
      if (!this.epmd.isRunning) throw new Error('epmd, the name server of Erlang, could not be started.');
      await pause(10);
    }
  }
}
