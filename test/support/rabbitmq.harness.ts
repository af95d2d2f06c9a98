import { connect } from 'amqplib';
import { DEFAULTS, DEFERRAL_LEVELS_MS } from '../../lib/core/limits.js';
import type { ContractHarness, ContractLeftovers } from '../../lib/testing/index.js';
import { TransportRegistry } from '../../lib/transports/transport.registry.js';

/** Delays that cases of the contract use. */
const DELAYS_MS = [20, 40, 80, ...DEFERRAL_LEVELS_MS];

const PUBLISH = {
  timeoutMs: DEFAULTS.publishTimeoutMs,
  window: DEFAULTS.publishWindow,
  buffer: { messages: DEFAULTS.bufferMessages, bytes: DEFAULTS.bufferBytes, onFull: 'reject' },
} as const;

const SILENT = { log: () => undefined, warn: () => undefined, error: () => undefined };

/** RabbitMQ at `url`, with nothing left there after a case. */
export async function createRabbitMqHarness(url: string): Promise<ContractHarness> {
  const { definition, options } = new TransportRegistry().choose(url);
  const factory = await definition.load();
  const settings = { options, service: 'contract', publish: PUBLISH, logger: SILENT };
  return {
    createTransport: async () => factory.createTransport(settings, factory.createConnection(settings)),
    shared: true,
    skip: [],
    cleanup: (leftovers) => removeFrom(url, leftovers),
  };
}

/** Deleting what does not exist is no error. */
async function removeFrom(url: string, { groups, exchanges, services = [] }: ContractLeftovers): Promise<void> {
  const connection = await connect(url);
  try {
    const channel = await connection.createChannel();
    const suffixes = ['', '.dlq', '.rules', '.changes', ...DELAYS_MS.map((ms) => `.retry.${ms}`)];
    const queues = groups.flatMap((group) => suffixes.map((suffix) => `${group}${suffix}`));
    const records = exchanges.flatMap((exchange) => services.map((service) => `${exchange}.groups.${service}`));
    await Promise.all([...queues, ...records].map((queue) => channel.deleteQueue(queue)));
    await Promise.all(exchanges.map((exchange) => channel.deleteExchange(exchange)));
  } finally {
    await connection.close();
  }
}
