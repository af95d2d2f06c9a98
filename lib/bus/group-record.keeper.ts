import { pause } from '../core/deadline.js';
import { describeError } from '../core/failure.js';
import { type GroupRecord, hasBinding, type KeptGroup, type PresentGroup } from '../core/group-record.js';
import type { BusLogger } from '../core/logger.js';

/** A group that the service had, and that nobody consumes any more although its queue is still there. */
export interface VanishedGroup {
  /** As declared: with the namespace. */
  readonly group: string;
  /** How many messages wait in its queue. */
  readonly messages: number;
  /** When a process of the service last had it, in milliseconds since 1970. */
  readonly seenAt: number;
}

/** A pattern that a group is still bound to although no handler asks for it. */
export interface StalePattern {
  readonly group: string;
  readonly pattern: string;
  /** Where, as `unbind` takes it: without the namespace. Absent: the exchange that the group has now. */
  readonly exchange?: string;
}

export interface KeeperOptions {
  readonly record: GroupRecord;
  /** Under which the service's groups are recorded. */
  readonly key: string;
  readonly present: readonly PresentGroup[];
  /** What names of exchanges are declared with in front of them. */
  readonly namespace?: string | undefined;
  /** Names that groups had before: what takes them over takes care of them. */
  readonly previous: readonly string[];
  /** Groups whose queues are there without a handler, and are meant to be: what no group gets waits in them. */
  readonly unhandled?: readonly string[];
  /** Takes away once more what is not wanted: a process of the version before binds it again whenever it reconnects. */
  readonly unbind: () => Promise<unknown>;
  readonly logger: BusLogger;
}

/** Between two looks: processes of the version before may still consume at the first one. */
const FIRST_MS = 60_000;
const LATER_MS = 600_000;
/** After a look that has failed. */
const FAILED_MS = 5_000;

/** Writes down which groups a service has, and tells of those that it has no more: their queues are never deleted for it. */
export class GroupRecordKeeper {
  private readonly end = new AbortController();
  private readonly told = new Set<string>();
  private kept: readonly KeptGroup[] = [];

  constructor(private readonly options: KeeperOptions) {}

  get vanished(): readonly VanishedGroup[] {
    const { present, previous, unhandled = [] } = this.options;
    const known = new Set([...present.map(({ name }) => name), ...previous, ...unhandled]);
    return this.kept.flatMap(({ name, queue, seenAt }) =>
      queue?.consumers === 0 && !known.has(name) ? [{ group: name, messages: queue.messages, seenAt }] : [],
    );
  }

  get stale(): readonly StalePattern[] {
    const wanted = new Map(this.options.present.map((group) => [group.name, group]));
    return this.kept.flatMap(({ name, bindings }) => {
      const own = wanted.get(name);
      if (!own) return [];
      return bindings
        .filter((binding) => !hasBinding(own.bindings, binding))
        .map(({ exchange, pattern }) => ({
          group: name,
          pattern,
          ...(exchange !== own.exchange && { exchange: this.unqualified(exchange) }),
        }));
    });
  }

  /** Looks now and then until it is stopped. Never rejects. */
  async run(): Promise<void> {
    const { signal } = this.end;
    for (let looks = 0; !signal.aborted; ) {
      const isDone = await this.look(looks > 0);
      if (isDone) looks++;
      const waitMs = looks === 1 ? FIRST_MS : LATER_MS;
      await pause(isDone ? waitMs : FAILED_MS, signal);
    }
  }

  stop(): void {
    this.end.abort();
  }

  /** @returns whether it could look */
  private async look(again: boolean): Promise<boolean> {
    const { record, key, present, unbind } = this.options;
    try {
      if (again) await unbind();
      this.kept = await record.keep(key, present);
    } catch (error) {
      this.tell('record', `The record of this service's groups could not be kept: ${describeError(error)}`);
      return false;
    }
    for (const { group, messages } of this.vanished) {
      this.tell(
        group,
        `Group "${group}" is not handled any more, and its queue still takes messages (${messages} wait). If it has another name now, say renamedFrom; if it is not needed, delete its queues.`,
      );
    }
    for (const { group, pattern, exchange } of this.stale) {
      const where = exchange === undefined ? '' : ` on exchange "${exchange}"`;
      const unbind = exchange === undefined ? `'${pattern}'` : `{ exchange: '${exchange}', pattern: '${pattern}' }`;
      this.tell(
        `${group} ${pattern}${where}`,
        `Group "${group}" may still be bound to "${pattern}"${where}, which none of its handlers asks for. Say unbind: ${unbind}.`,
      );
    }
    return true;
  }

  private unqualified(exchange: string): string {
    const prefix = `${this.options.namespace}.`;
    return this.options.namespace !== undefined && exchange.startsWith(prefix)
      ? exchange.slice(prefix.length)
      : exchange;
  }

  /** Each thing once. */
  private tell(what: string, text: string): void {
    if (this.told.has(what) || this.end.signal.aborted) return;
    this.told.add(what);
    this.options.logger.warn(text);
  }
}
