import { randomUUID } from 'node:crypto';
import type { Channel, ChannelModel, ConfirmChannel, GetMessage } from 'amqplib';
import type { Binding, BindingRule } from '../../core/exchange.js';
import { isHeaderValue } from '../../core/headers.js';
import { accessRefused, type ChannelError, closeQuietly, openConfirmChannel, rpc } from './rabbitmq.channel.js';
import { changesQueue, rulesQueue } from './rabbitmq.group-queues.js';
import { lock, unlock } from './rabbitmq.lock.js';
import { look } from './rabbitmq.queue-state.js';

/** Classic: they hold next to nothing. */
const DURABLE = { durable: true, arguments: { 'x-queue-type': 'classic' } } as const;
/** How long the table is tried to be had alone. */
const LOCK_MS = 5_000;
/** Much more than a group has rules; what is larger is not ours. */
const MAX_BYTES = 1_048_576;
/** When the count of changes begins anew it begins somewhere below: at 1 it would soon say what it said before. */
const FIRST_CHANGES = 256;
/** Every living member writes its rules down again within this time. */
const DOUBT_MS = 15_000;

/** A binding as it is written down: with the name of its exchange. */
export interface RecordedRule extends BindingRule {
  readonly exchange: string;
}

export interface RuleTable {
  readonly rules: readonly RecordedRule[];
  /** Another number than before: it has changed, or may have. */
  readonly version: number;
  /** Another one than before: the rules were lost meanwhile, and each member must write down its own again. */
  readonly epoch: string;
  /** Rules were lost, and until then, in milliseconds since 1970, some may not be written down again. */
  readonly doubtUntil: number;
}

/** What goes with the rules in the same message. */
interface Note extends Pick<RuleTable, 'epoch' | 'doubtUntil'> {
  /** How many changes were counted when it was written. Fewer now: they were taken away. */
  readonly changes: number;
}

interface Work {
  readonly added: readonly RecordedRule[];
  readonly removed: readonly RecordedRule[];
  /** Nothing is added if the table is still of this epoch. */
  readonly unlessEpoch: string | undefined;
  /** Whether this process has seen it before. */
  readonly isKnown: boolean;
  readonly random: () => number;
}

/**
 * What queues of groups are bound to on exchanges that are emulated. A broker keeps bindings beyond the life of a process, for
 * all its members, and so must whoever takes its place: a process of the version before would otherwise throw away what the
 * next one waits for. One message in a queue beside it holds the rules; in a second queue, which nobody reads, there is one
 * message for each change, so that to ask for their number tells whether there was one. Both can be emptied by others (a
 * policy, an operator): that is noticed, the members write their rules down again, and until they have nothing is sure.
 */
export class RabbitMqRuleTables {
  /** A connection would let two of its own in. */
  private readonly turns = new Map<string, Promise<unknown>>();
  private readonly known = new Set<string>();

  constructor(
    /** From 0 to below 1. */
    private readonly random: () => number = Math.random,
  ) {}

  /**
   * Adds and removes rules, then gives all. With none to add or remove it only reads.
   *
   * @param queue where the messages of the group are
   * @param unlessEpoch adds nothing if the table is still of this epoch: what was removed since is not brought back
   */
  async enter(
    connection: ChannelModel,
    queue: string,
    added: readonly Binding[] = [],
    removed: readonly Binding[] = [],
    unlessEpoch?: string,
  ): Promise<RuleTable> {
    const work = (): Promise<RuleTable> =>
      change(connection, queue, {
        added: added.map(toRecorded),
        removed: removed.map(toRecorded),
        unlessEpoch,
        isKnown: this.known.has(queue),
        random: this.random,
      });
    const turn = (this.turns.get(queue) ?? Promise.resolve()).then(work, work);
    this.turns.set(queue, turn);
    try {
      const table = await turn;
      this.known.add(queue);
      return table;
    } catch (error) {
      throw (error as ChannelError).code === 403
        ? accessRefused(
            `use "${rulesQueue(queue)}", "${rulesQueue(queue)}.lock" or "${changesQueue(queue)}"`,
            error as Error,
          )
        : error;
    } finally {
      if (this.turns.get(queue) === turn) this.turns.delete(queue);
    }
  }
}

/** What its version is now. A channel on which that fails is closed by the broker. */
export async function versionOf(channel: Channel, queue: string): Promise<number> {
  const changes = changesQueue(queue);
  return (await rpc(channel.checkQueue(changes), `look at "${changes}"`)).messageCount;
}

async function change(connection: ChannelModel, queue: string, work: Work): Promise<RuleTable> {
  const name = `${rulesQueue(queue)}.lock`;
  await lock(connection, name, { until: Date.now() + LOCK_MS, autoDelete: true });
  try {
    const channel = await rpc(openConfirmChannel(connection), 'open a channel');
    channel.on('error', () => undefined); // the RPC that caused it rejects
    try {
      return await renew(connection, channel, queue, work);
    } finally {
      // what is not acknowledged goes back
      closeQuietly(channel);
    }
  } finally {
    await unlock(connection, name);
  }
}

async function renew(
  connection: ChannelModel,
  channel: ConfirmChannel,
  queue: string,
  { added, removed, unlessEpoch, isKnown, random }: Work,
): Promise<RuleTable> {
  const [table, changes] = [rulesQueue(queue), changesQueue(queue)];
  for (const one of [table, changes]) await rpc(channel.assertQueue(one, DURABLE), `declare "${one}"`);
  const version = await versionOf(channel, queue);
  const messages = await take(channel, table);
  const before = distinct(messages.flatMap(contentOf));
  const note = messages.map(noteOf).findLast((one) => one !== undefined);
  const isEmpty = before.size === 0 && note === undefined;
  // nobody knows what was asked for
  if (isEmpty && added.length === 0) return { rules: [], version, epoch: '', doubtUntil: Number.POSITIVE_INFINITY };
  const isLost = isEmpty && (isKnown || (await isUsed(connection, queue)));
  const epoch = isEmpty ? randomUUID() : (note?.epoch ?? '');
  const doubtUntil = isLost ? Date.now() + DOUBT_MS : (note?.doubtUntil ?? 0);
  const unwanted = new Set(removed.map(idOf));
  const kept = [...before.values()].filter((rule) => !unwanted.has(idOf(rule)));
  const after = distinct([...kept, ...(unlessEpoch === epoch ? [] : added)]);
  const rules = [...after.values()];
  const isAnew = isEmpty || version < (note?.changes ?? 0);
  const isSame = !isAnew && after.size === before.size && rules.every((rule) => before.has(idOf(rule)));
  if (isSame && messages.length <= 1) return { rules, version, epoch, doubtUntil };
  // first: who sees it must wait for the lock
  const count = isAnew ? 1 + Math.floor(random() * FIRST_CHANGES) : Number(!isSame);
  for (let sent = 0; sent < count; sent++) channel.sendToQueue(changes, Buffer.alloc(0), { persistent: true });
  await rpc(channel.waitForConfirms(), `write "${changes}"`);
  const written = await versionOf(channel, queue);
  channel.sendToQueue(table, Buffer.from(JSON.stringify(rules)), {
    persistent: true,
    contentType: 'application/json',
    headers: { epoch, doubtUntil, changes: written },
  });
  await rpc(channel.waitForConfirms(), `write "${table}"`);
  for (const message of messages) channel.ack(message);
  return { rules, version: written, epoch, doubtUntil };
}

async function take(channel: Channel, queue: string): Promise<readonly GetMessage[]> {
  const messages: GetMessage[] = [];
  for (let next = await rpc(channel.get(queue), `read "${queue}"`); next; ) {
    messages.push(next);
    next = await rpc(channel.get(queue), `read "${queue}"`);
  }
  return messages;
}

/** Whether somebody may have had rules: before the first of them is written down nothing is bound or consumed. */
async function isUsed(connection: ChannelModel, queue: string): Promise<boolean> {
  const { messages = 0, consumers = 0 } = (await look(connection, queue)) ?? {};
  return messages + consumers > 0;
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

function noteOf({ properties }: GetMessage): Note | undefined {
  const { epoch, doubtUntil, changes } = (properties.headers ?? {}) as Readonly<Record<string, unknown>>;
  if (typeof epoch !== 'string' || typeof doubtUntil !== 'number' || typeof changes !== 'number') return undefined;
  return { epoch, doubtUntil, changes };
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
