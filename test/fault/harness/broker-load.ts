import type { TestingModule } from '@nestjs/testing';
import {
  type Connection,
  EVENT_BUS_CONNECTION,
  type EventBusModuleOptions,
  EventBusService,
} from '../../../lib/index.js';
import { bounded, until } from '../../../lib/testing/contract/until.js';
import type { Lab } from '../../support/lab.js';
import { waitingIn } from './by-hand.js';
import { drainQueues } from './queue-contents.js';
import type { RabbitMqNode } from './rabbitmq-node.js';
import { SLACK_MS, Traffic } from './traffic.js';

type TrafficOptions = NonNullable<ConstructorParameters<typeof Traffic>[0]>;

export interface LoadOptions extends TrafficOptions {
  readonly timeoutMs: number;
  readonly bus?: EventBusModuleOptions;
}

/** What was confirmed and is neither handled nor anywhere else, and what is where it should not be. */
export interface Account {
  /** Publishes that have not settled. */
  readonly pending: number;
  /** Publishes that settled later than their timeout and a second. */
  readonly late: number;
  readonly lost: readonly number[];
  /** Still in the queue. */
  readonly left: number;
  readonly dead: number;
}

/** All that was confirmed was handled: nothing is left elsewhere that could make up for a loss. */
export const CONSERVED: Account = { pending: 0, late: 0, lost: [], left: 0, dead: 0 };

const DRAIN_MS = 30_000;

/** Traffic on a bus against a node that is about to break, and what it must come to all the same. */
export class BrokerLoad {
  /** How often the connection went down. */
  outages = 0;
  private probes = 0;

  private constructor(
    readonly app: TestingModule,
    readonly bus: EventBusService,
    readonly traffic: Traffic,
    readonly group: string,
    private readonly node: RabbitMqNode,
    private readonly timeoutMs: number,
  ) {
    app.get<Connection>(EVENT_BUS_CONNECTION).onStateChange((state) => {
      if (state === 'down') this.outages++;
    });
  }

  /** Resolves when events flow. What nobody got counts as failed, not as confirmed. */
  static async begin(node: RabbitMqNode, lab: Lab, { bus: options, ...settings }: LoadOptions): Promise<BrokerLoad> {
    const traffic = new Traffic({ pauseMs: 10, handlerMs: 2, ...settings });
    const { app, bus } = await lab.boot({
      options: { transport: node.url(), publish: { unroutable: 'reject' }, ...options },
      providers: [traffic.listener()],
    });
    const group = `${lab.service}.TrafficListener.on`;
    const load = new BrokerLoad(app, bus, traffic, group, node, settings.timeoutMs);
    traffic.start(bus);
    await load.flows();
    return load;
  }

  /** How long the slowest publish took to settle, one way or the other. */
  get slowestMs(): number {
    return this.traffic.slowestMs;
  }

  /** Resolves when `count` more events have been handled. */
  async flows(count = 100, ms?: number): Promise<void> {
    const goal = this.traffic.handled.size + count;
    await until('events flow', () => this.traffic.handled.size >= goal, ms);
  }

  /** Publishes a new event and waits until it is handled. */
  async probe(ms: number): Promise<void> {
    const n = -++this.probes;
    await bounded(this.bus.publish('traffic.probe', { n }, { timeoutMs: ms }), ms, 'the publish of a new event');
    await until('a new event is handled', () => this.traffic.handled.has(n), ms);
  }

  /** Stops, lets everything be handled that will be, and says what became of it all: {@link CONSERVED}, if all went well. */
  async end(): Promise<Account> {
    const { traffic, group, node, timeoutMs } = this;
    await bounded(traffic.stop(), timeoutMs + SLACK_MS, 'settling all publishes').catch(() => undefined);
    await until('all is handled', () => traffic.lost.length === 0, DRAIN_MS).catch(() => undefined);
    // what was not confirmed, and came all the same
    const isQuiet = async (): Promise<boolean> => {
      const { running = 0, waiting = 0 } = this.bus.stats().groups[group] ?? {};
      return running + waiting === 0 && (await waitingIn(node.url(), group)) === 0;
    };
    await until('nothing is in work', isQuiet, DRAIN_MS).catch(() => undefined);
    const { pending, late, lost } = traffic;
    await this.app.close();
    const { left, dead } = await drainQueues(node.url(), group);
    return { pending, late, lost, left: left.size, dead: dead.size };
  }
}
