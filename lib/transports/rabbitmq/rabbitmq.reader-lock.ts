import type { ChannelModel } from 'amqplib';
import { pause } from '../../core/deadline.js';
import { type ChannelError, rpc, withChannel } from './rabbitmq.channel.js';

const FIRST_PAUSE_MS = 20;
const PAUSE_CAP_MS = 200;

/**
 * One reader of a queue at a time, among all processes: an exclusive queue belongs to one connection, and goes with it. An
 * exclusive consumer would not do, for quorum queues let a second one in.
 *
 * @returns false when another connection has kept it until `end`, or `signal` has aborted
 */
export async function lockReader(
  connection: ChannelModel,
  queue: string,
  end: number,
  signal: AbortSignal,
): Promise<boolean> {
  for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(PAUSE_CAP_MS, 2 * pauseMs)) {
    try {
      await withChannel(connection, (channel) =>
        rpc(channel.assertQueue(readerQueue(queue), { exclusive: true, durable: false }), `lock "${queue}"`),
      );
      return true;
    } catch (error) {
      const { code } = error as ChannelError;
      // who may declare nothing can still read; then two at once see a part each, and neither loses any
      if (code === 403) return true;
      if (code !== 405) throw error;
    }
    if (Date.now() + pauseMs > end || signal.aborted) return false;
    await pause(pauseMs, signal);
  }
}

export function readerQueue(queue: string): string {
  return `${queue}.reader`;
}
