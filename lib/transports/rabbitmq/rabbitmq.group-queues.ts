import { ConfigurationError } from '../../core/errors.js';
import type { DeclareMode, Source } from '../../core/transport.js';

export type QueueArguments = Readonly<Record<string, unknown>>;

/** AMQP short strings. */
export const NAME_BYTES = 255;
const LONGEST_DELAY_MS = 86_400_000;

/**
 * No argument here depends on an option that a team may change: RabbitMQ refuses a queue that exists with other
 * arguments, and a deploy must never need one deleted.
 */
const QUORUM = { 'x-queue-type': 'quorum' } as const;

/** Listing counts as a redelivery, and without a limit of its own RabbitMQ 4 would delete what was listed 20 times. */
export const DEAD_LETTER_ARGUMENTS: QueueArguments = { ...QUORUM, 'x-delivery-limit': 1_000_000 };

/** What its handlers ask for counts here: who names another type or argument means one queue that is so. */
export function queueArguments(group: string, { type, arguments: own }: Source['queue'] = {}): QueueArguments {
  if (type === 'classic') return own ?? {};
  return {
    ...QUORUM,
    // counts crashes of consumers; our own attempts are counted in a header
    'x-delivery-limit': 20,
    'x-overflow': 'reject-publish',
    'x-dead-letter-exchange': '',
    'x-dead-letter-routing-key': deadLetterQueue(group),
    'x-dead-letter-strategy': 'at-least-once',
    ...own,
  };
}

/** @param queue where its messages go when they are due */
export function retryArguments(queue: string, delayMs: number): QueueArguments {
  return {
    ...QUORUM,
    'x-message-ttl': delayMs,
    'x-overflow': 'reject-publish',
    'x-dead-letter-exchange': '',
    'x-dead-letter-routing-key': queue,
    'x-dead-letter-strategy': 'at-least-once',
  };
}

/** Where the messages of a source are that is not private. */
export function queueName({ queue, group, owner }: Pick<Source, 'queue' | 'group' | 'owner'>): string {
  return queue?.name ?? group ?? owner;
}

export function deadLetterQueue(group: string): string {
  return `${group}.dlq`;
}

/** Holds what a group is bound to on exchanges whose rule its consumers apply. */
export function rulesQueue(group: string): string {
  return `${group}.rules`;
}

/** Holds one message for each change of these rules. */
export function changesQueue(group: string): string {
  return `${group}.changes`;
}

/** It leads to one queue for ever, so a group that moves to another queue gets other retry queues too. */
export function retryQueue(group: string, queue: string, delayMs: number): string {
  return `${group}.retry.${delayMs}${queue === group ? '' : `.to.${queue}`}`;
}

/** How retry and dead-letter queues are declared, if not like all: what is said beside the name of a queue concerns that alone. */
export function ownMode({ queue, declare }: Pick<Source, 'queue' | 'declare'>): DeclareMode | undefined {
  return queue?.name === undefined ? declare : undefined;
}

/** @throws ConfigurationError for a queue that cannot be the group's */
export function assertQueue(source: Source): void {
  const { group, queue: { name, type = 'quorum', arguments: own } = {} } = source;
  if (group === undefined) return;
  const problems: string[] = [];
  const given = own?.['x-queue-type'];
  if (given !== undefined && given !== type) {
    problems.push(
      `Group "${group}": rabbitmq.arguments say x-queue-type ${JSON.stringify(given)}, but its queueType is '${type}'. Say queueType: 'classic' or 'quorum'; any other queue can only be taken with assert: 'check'.`,
    );
  }
  if (name === deadLetterQueue(group) || name?.startsWith(retryQueue(group, group, 0).slice(0, -1))) {
    problems.push(`Group "${group}" cannot consume "${name}", where it puts what it has failed to handle itself.`);
  }
  if (Buffer.byteLength(retryQueue(group, queueName(source), LONGEST_DELAY_MS)) > NAME_BYTES) {
    problems.push(
      `Group "${group}" and its queue have names too long for "${retryQueue('<group>', '<queue>', LONGEST_DELAY_MS)}", which may have ${NAME_BYTES} bytes. Choose a shorter group.`,
    );
  }
  if (problems.length > 0) throw new ConfigurationError(problems);
}
