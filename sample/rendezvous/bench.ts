import { Command, Event, type EventBusModuleOptions } from '../../lib/index.js';

export interface Verdict {
  readonly test: string;
  readonly by: string;
}

/** One test, for any one of the workers. */
@Event('tests.run')
export class RunTest extends Command<Verdict> {
  constructor(readonly test: string) {
    super();
  }
}

export const URL_OF_BROKER = process.env.EVENT_BUS_URL ?? 'amqp://guest:guest@127.0.0.1:5672';

/** What the controller and its workers have in common: so they meet. Who dies without a word is gone after 2 s. */
export function benchOptions(namespace: string, service: string): EventBusModuleOptions {
  return {
    service,
    namespace,
    exchange: 'bench',
    transport: URL_OF_BROKER,
    rendezvous: { leaseMs: 2_000 },
  };
}
