import type { ChannelModel } from 'amqplib';
import { pause } from '../../core/deadline.js';
import { type ChannelError, rpc, withChannel } from './rabbitmq.channel.js';

const FIRST_PAUSE_MS = 20;
const PAUSE_CAP_MS = 200;

export interface LockOptions {
  /** By when it must be had, in milliseconds since 1970. */
  readonly until: number;
  readonly signal?: AbortSignal;
  readonly autoDelete?: boolean;
}

/**
 * Something that one connection has alone among all processes: an exclusive queue of that name, which goes with its
 * connection. An exclusive consumer would not do, for quorum queues let a second one in.
 *
 * @throws what the broker says, code 405, when another connection has kept it until then, or `signal` has aborted
 */
export async function lock(
  connection: ChannelModel,
  name: string,
  { until, signal, autoDelete = false }: LockOptions,
): Promise<void> {
  for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(PAUSE_CAP_MS, 2 * pauseMs)) {
    try {
      await withChannel(connection, (channel) =>
        rpc(channel.assertQueue(name, { exclusive: true, durable: false, autoDelete }), `lock "${name}"`),
      );
      return;
    } catch (error) {
      if (!isLocked(error) || signal?.aborted || Date.now() + pauseMs > until) throw error;
    }
    // many may start at one moment
    await pause(pauseMs / 2 + Math.random() * pauseMs, signal);
  }
}

/** Gives it back, if it can be. Never rejects: it goes with its connection. */
export async function unlock(connection: ChannelModel, name: string): Promise<void> {
  const unlocked = withChannel(connection, (channel) => rpc(channel.deleteQueue(name), `unlock "${name}"`));
  await unlocked.catch(() => undefined);
}

/** Whether another connection has it. */
export function isLocked(error: unknown): boolean {
  return (error as ChannelError).code === 405;
}
