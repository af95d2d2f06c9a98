import type { Channel, ChannelModel, ConfirmChannel, GetMessage } from 'amqplib';
import type { Binding, BindingRule } from '../../core/exchange.js';
import { isHeaderValue } from '../../core/headers.js';
import { accessRefused, type ChannelError, closeQuietly, openConfirmChannel, rpc } from './rabbitmq.channel.js';
import { changesQueue, rulesQueue } from './rabbitmq.group-queues.js';
import { lock, unlock } from './rabbitmq.lock.js';

/** Classic: they hold next to nothing. */
const DURABLE = { durable: true, arguments: { 'x-queue-type': 'classic' } } as const;
/** How long the table is tried to be had alone. */
const LOCK_MS = 5_000;
/** Much more than a group has rules; what is larger is not ours. */
const MAX_BYTES = 1_048_576;

/** A binding as it is written down: with the name of its exchange. */
export interface RecordedRule extends BindingRule {
  readonly exchange: string;
}

export interface RuleTable {
  readonly rules: readonly RecordedRule[];
  /** Another number than before: it has changed, or may have. */
  readonly version: number;
}

/**
 * What groups are bound to on exchanges that are emulated. A broker keeps bindings beyond the life of a process, for all its
 * members, and so must whoever takes its place: a process of the version before would otherwise throw away what the next one
 * waits for. One message in a queue of the group's own holds the rules; in a second queue, which nobody reads, there is one
 * message for each change, so that to ask for their number tells whether there was one.
 */
export class RabbitMqRuleTables {
  /** A connection would let two of its own in. */
  private readonly turns = new Map<string, Promise<unknown>>();

  /** Adds and removes rules, then gives all. With none to add or remove it only reads. */
  async enter(
    connection: ChannelModel,
    group: string,
    added: readonly Binding[] = [],
    removed: readonly Binding[] = [],
  ): Promise<RuleTable> {
    const work = (): Promise<RuleTable> => change(connection, group, added.map(toRecorded), removed.map(toRecorded));
    const turn = (this.turns.get(group) ?? Promise.resolve()).then(work, work);
    this.turns.set(group, turn);
    try {
      return await turn;
    } catch (error) {
      throw (error as ChannelError).code === 403
        ? accessRefused(
            `use "${rulesQueue(group)}", "${rulesQueue(group)}.lock" or "${changesQueue(group)}"`,
            error as Error,
          )
        : error;
    } finally {
      if (this.turns.get(group) === turn) this.turns.delete(group);
    }
  }
}

/** What its version is now. A channel on which that fails is closed by the broker. */
export async function versionOf(channel: Channel, group: string): Promise<number> {
  const queue = changesQueue(group);
  return (await rpc(channel.checkQueue(queue), `look at "${queue}"`)).messageCount;
}

async function change(
  connection: ChannelModel,
  group: string,
  added: readonly RecordedRule[],
  removed: readonly RecordedRule[],
): Promise<RuleTable> {
  const name = `${rulesQueue(group)}.lock`;
  await lock(connection, name, { until: Date.now() + LOCK_MS, autoDelete: true });
  try {
    const channel = await rpc(openConfirmChannel(connection), 'open a channel');
    channel.on('error', () => undefined); // the RPC that caused it rejects
    try {
      return await renew(channel, group, added, removed);
    } finally {
      // what is not acknowledged goes back
      closeQuietly(channel);
    }
  } finally {
    await unlock(connection, name);
  }
}

async function renew(
  channel: ConfirmChannel,
  group: string,
  added: readonly RecordedRule[],
  removed: readonly RecordedRule[],
): Promise<RuleTable> {
  const [queue, changes] = [rulesQueue(group), changesQueue(group)];
  for (const one of [queue, changes]) await rpc(channel.assertQueue(one, DURABLE), `declare "${one}"`);
  const version = await versionOf(channel, group);
  const messages: GetMessage[] = [];
  for (let next = await rpc(channel.get(queue), `read "${queue}"`); next; ) {
    messages.push(next);
    next = await rpc(channel.get(queue), `read "${queue}"`);
  }
  const before = distinct(messages.flatMap(contentOf));
  const unwanted = new Set(removed.map(idOf));
  const after = distinct([...[...before.values()].filter((rule) => !unwanted.has(idOf(rule))), ...added]);
  const rules = [...after.values()];
  const isSame = after.size === before.size && rules.every((rule) => before.has(idOf(rule)));
  if (isSame && messages.length <= 1) return { rules, version };
  // first: who sees it must wait for the lock
  if (!isSame) channel.sendToQueue(changes, Buffer.alloc(0), { persistent: true });
  await rpc(channel.waitForConfirms(), `write "${changes}"`);
  channel.sendToQueue(queue, Buffer.from(JSON.stringify(rules)), { persistent: true, contentType: 'application/json' });
  await rpc(channel.waitForConfirms(), `write "${queue}"`);
  for (const message of messages) channel.ack(message);
  return { rules, version: await versionOf(channel, group) };
}

function toRecorded({ exchange, pattern, headers, match }: Binding): RecordedRule {
  return {
    exchange: exchange.name,
    ...(pattern !== undefined && { pattern }),
    ...(headers && { headers: Object.fromEntries(Object.entries(headers).filter(([, value]) => value !== undefined)) }),
    ...(match && { match }),
  };
}

function distinct(rules: readonly RecordedRule[]): ReadonlyMap<string, RecordedRule> {
  return new Map(rules.map((rule) => [idOf(rule), rule]));
}

function idOf({ exchange, pattern, headers = {}, match }: RecordedRule): string {
  const sorted = Object.keys(headers)
    .toSorted()
    .map((name) => [name, headers[name]]);
  return JSON.stringify([exchange, pattern ?? null, sorted, match ?? null]);
}

/** Of bytes that are no rules, nothing. */
function contentOf({ content }: GetMessage): readonly RecordedRule[] {
  if (content.byteLength > MAX_BYTES) return [];
  try {
    const value: unknown = JSON.parse(content.toString('utf8'));
    return Array.isArray(value) ? value.filter(isRecordedRule) : [];
  } catch {
    return [];
  }
}

function isRecordedRule(value: unknown): value is RecordedRule {
  if (typeof value !== 'object' || value === null) return false;
  const { exchange, pattern, headers, match } = value as Partial<Record<keyof RecordedRule, unknown>>;
  return (
    typeof exchange === 'string' &&
    (pattern === undefined || typeof pattern === 'string') &&
    (headers === undefined ||
      (typeof headers === 'object' &&
        headers !== null &&
        Object.values(headers).every((value) => value === null || isHeaderValue(value)))) &&
    (match === undefined || match === 'all' || match === 'any')
  );
}
