import { afterAll, afterEach, beforeAll, beforeEach, describe } from '@jest/globals';
import { Lab } from '../../support/lab.js';
import { Door } from './door.js';
import { findRabbitMqServer, RabbitMqNode } from './rabbitmq-node.js';

const START_MS = 120_000;

/** As `describe`; where no server is installed the suite is skipped, and says so, or fails with REQUIRE_BROKERS=1. */
export function describeWithServer(name: string, tests: () => void): void {
  const suite = hasServer(name) ? describe : describe.skip;
  suite(name, tests);
}

function hasServer(name: string): boolean {
  if (findRabbitMqServer() !== undefined) return true;
  const missing = 'No rabbitmq-server was found. Install RabbitMQ, or set RABBITMQ_SERVER to its script.';
  if (process.env.REQUIRE_BROKERS === '1') throw new Error(missing);
  process.stderr.write(`SKIPPED "${name}": ${missing}\n`);
  return false;
}

/** A suite whose tests share a broker that they may break, each with a lab and a door to that broker of its own. */
export class OwnBroker {
  private broker: RabbitMqNode | undefined;
  private current: { readonly lab: Lab; readonly door: Door } | undefined;

  /** @param start makes the broker; one that runs, unless it is given */
  constructor(private readonly start: () => Promise<RabbitMqNode> = () => RabbitMqNode.start()) {}

  get node(): RabbitMqNode {
    return given(this.broker);
  }

  get lab(): Lab {
    return given(this.current).lab;
  }

  get door(): Door {
    return given(this.current).door;
  }

  suite(name: string, tests: () => void): void {
    describeWithServer(name, () => {
      beforeAll(async () => {
        this.broker = await this.start();
      }, START_MS);

      afterAll(() => this.broker?.dispose());

      beforeEach(async () => {
        this.current = { lab: new Lab(), door: await Door.open(this.node.url()) };
      });

      afterEach(async () => {
        await this.lab.dispose();
        await this.door.turn('closed');
      });

      tests();
    });
  }
}

function given<T>(part: T | undefined): T {
  if (part === undefined) throw new Error('Only the tests of the suite, and their hooks, have a broker.');
  return part;
}
