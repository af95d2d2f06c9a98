import type { ChannelModel, ConfirmChannel, GetMessage } from 'amqplib';
import { ConnectionError } from '../../core/errors.js';
import {
  type GroupRecord,
  type KeptGroup,
  mergeRecord,
  type PresentGroup,
  type RecordedGroup,
  readRecord,
} from '../../core/group-record.js';
import { accessRefused, type ChannelError, closeQuietly, openConfirmChannel, rpc } from './rabbitmq.channel.js';
import type { RabbitMqLink } from './rabbitmq.link.js';
import { lock, unlock } from './rabbitmq.lock.js';
import { look } from './rabbitmq.queue-state.js';

/** Classic: it holds one small message, written once for a deployment. */
const ARGUMENTS = { 'x-queue-type': 'classic' } as const;
/** How long the record is tried to be had alone. */
const LOCK_MS = 5_000;
/** Much more than a service has groups; what is larger is not ours. */
const MAX_BYTES = 1_048_576;

/**
 * The record of a service's groups: one message in a queue of its own. Whoever changes it holds an exclusive queue beside it,
 * as a lock that goes with its holder.
 */
export class RabbitMqGroupRecord implements GroupRecord {
  private known: ReadonlyMap<string, RecordedGroup> | undefined;

  constructor(private readonly link: RabbitMqLink) {}

  /** Whether it has been read once. */
  get isRead(): boolean {
    return this.known !== undefined;
  }

  /** What it said of a group when it was read last. */
  find(name: string): RecordedGroup | undefined {
    return this.known?.get(name);
  }

  async keep(key: string, present: readonly PresentGroup[]): Promise<readonly KeptGroup[]> {
    const { connection } = this.link;
    if (!connection) throw new ConnectionError('The record of groups cannot be read: not connected to the broker.');
    try {
      // a service that only publishes needs none
      if (present.length === 0 && !(await look(connection, key))) return [];
      return await this.alone(connection, `${key}.lock`, () => this.renew(connection, key, present));
    } catch (error) {
      throw (error as ChannelError).code === 403
        ? accessRefused(`use "${key}" or "${key}.lock"`, error as Error)
        : error;
    }
  }

  private async renew(
    connection: ChannelModel,
    key: string,
    present: readonly PresentGroup[],
  ): Promise<readonly KeptGroup[]> {
    const channel = await rpc(openConfirmChannel(connection), 'open a channel');
    channel.on('error', () => undefined); // the RPC that caused it rejects
    try {
      await rpc(channel.assertQueue(key, { durable: true, arguments: ARGUMENTS }), `declare "${key}"`);
      const messages = await takeAll(channel, key);
      const recorded = messages.flatMap(contentOf);
      const own = new Set(present.map(({ name }) => name));
      const kept: KeptGroup[] = [];
      for (const group of mergeRecord(recorded, present, Date.now())) {
        // its own were declared just now, and others wait for the lock
        const queue = own.has(group.name) ? undefined : await look(connection, group.name);
        if (queue) kept.push({ ...group, queue });
        else if (own.has(group.name)) kept.push(group);
      }
      const next = kept.map(({ name, bindings, delaysMs, seenAt }) => ({ name, bindings, delaysMs, seenAt }));
      this.known = new Map(next.map((group) => [group.name, group]));
      if (messages.length !== 1 || JSON.stringify(next) !== JSON.stringify(recorded)) {
        await write(channel, key, next);
        // what is not acknowledged goes back when the channel closes
        for (const message of messages) channel.ack(message);
        await rpc(channel.checkQueue(key), `write "${key}"`);
      }
      return kept;
    } finally {
      closeQuietly(channel);
    }
  }

  private async alone<T>(connection: ChannelModel, name: string, work: () => Promise<T>): Promise<T> {
    await lock(connection, name, { until: Date.now() + LOCK_MS, autoDelete: true });
    try {
      return await work();
    } finally {
      await unlock(connection, name);
    }
  }
}

async function takeAll(channel: ConfirmChannel, queue: string): Promise<readonly GetMessage[]> {
  const messages: GetMessage[] = [];
  for (let next = await rpc(channel.get(queue), `read "${queue}"`); next; ) {
    messages.push(next);
    next = await rpc(channel.get(queue), `read "${queue}"`);
  }
  return messages;
}

/** Of bytes that are not a record, nothing. */
function contentOf({ content }: GetMessage): readonly RecordedGroup[] {
  if (content.byteLength > MAX_BYTES) return [];
  try {
    return readRecord(JSON.parse(content.toString('utf8')));
  } catch {
    return [];
  }
}

async function write(channel: ConfirmChannel, queue: string, groups: readonly RecordedGroup[]): Promise<void> {
  const body = Buffer.from(JSON.stringify(groups));
  channel.sendToQueue(queue, body, { persistent: true, contentType: 'application/json' });
  await rpc(channel.waitForConfirms(), `write "${queue}"`);
}
