import { ConfigurationError } from '../core/errors.js';

/**
 * The group, and with it the queue, of a command, without the namespace.
 *
 * @throws ConfigurationError for a topic that can name no queue
 */
export function commandGroup(exchange: string, topic: string): string {
  if (topic === '' || topic.includes('\0')) throw new ConfigurationError('A command needs a name.');
  const wild = topic.split('.').find((word) => word === '*' || word === '#');
  if (wild !== undefined) {
    throw new ConfigurationError(
      `"${topic}" has the wildcard "${wild}": a command has one name and one handler. Use an event for what several may ask for.`,
    );
  }
  const group = `${exchange}.command.${topic}`;
  // the longest suffix of its retry queues has 15
  if (Buffer.byteLength(group) > 240)
    throw new ConfigurationError(`The command "${topic.slice(0, 32)}…" has too long a name.`);
  return group;
}
