import { setTimeout as pause } from 'node:timers/promises';
import type { RabbitMqNode } from '../fault/harness/rabbitmq-node.js';

const POLL_MS = 500;
/** The broker counts what is in a queue now and then, and what is put off comes back after a while. */
const EMPTY_MS = 20_000;

/** The queues that groups have or had, their own and those of retries and dead letters, with the messages in each. */
export async function queuesOf(
  node: RabbitMqNode,
  ...groups: readonly string[]
): Promise<readonly (readonly [name: string, messages: number])[]> {
  const rows = await node.ctl('list_queues', '--no-table-headers', 'name', 'messages');
  return rows
    .split('\n')
    .map((row) => row.split(/\s+/))
    .filter(([name = '']) => groups.some((group) => name === group || name.startsWith(`${group}.`)))
    .map(([name = '', messages]) => [name, Number(messages)] as const);
}

/** Those that still hold messages when they should all be empty. */
export async function leftIn(
  node: RabbitMqNode,
  ...groups: readonly string[]
): Promise<readonly (readonly [name: string, messages: number])[]> {
  const end = Date.now() + EMPTY_MS;
  for (;;) {
    const left = (await queuesOf(node, ...groups)).filter(([, messages]) => messages > 0);
    if (left.length === 0 || Date.now() > end) return left;
    await pause(POLL_MS);
  }
}
