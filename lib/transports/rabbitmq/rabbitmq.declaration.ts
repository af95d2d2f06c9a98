import { ConnectionError, type TopologyConflict, TopologyConflictError } from '../../core/errors.js';
import { accessRefused, type ChannelError, rpc } from './rabbitmq.channel.js';

/** How RabbitMQ says that a queue or exchange exists and is different. */
const INEQUIVALENT = /inequivalent arg '([^']*)' for .* in vhost '.*': received (.*) but current is ([^"]*)/;

const MISSING = /no (queue|exchange) '(.*)' in vhost/;

/**
 * Waits for the broker to agree to a declaration or binding.
 *
 * @throws TopologyConflictError when it is missing or exists otherwise, ConnectionError when the user may not have it
 */
export async function declare(kind: TopologyConflict['kind'], entity: string, work: Promise<unknown>): Promise<void> {
  try {
    await rpc(work, `declare "${entity}"`);
  } catch (cause) {
    throw toTopologyError(kind, entity, cause);
  }
}

export function toTopologyError(kind: TopologyConflict['kind'], entity: string, cause: unknown): unknown {
  const { code = 0, message } = cause as ChannelError;
  switch (code) {
    case 403:
      return accessRefused(`declare ${kind} "${entity}" or bind it`, cause as ChannelError);
    case 404: {
      // also said of a queue whose node is down, which waiting mends
      const [, missing, name] = MISSING.exec(message) ?? [];
      if (name === undefined) return cause;
      return new TopologyConflictError([{ kind: missing === 'queue' ? 'queue' : 'exchange', entity: name }], { cause });
    }
    case 405:
      return new ConnectionError(
        `Queue "${entity}" belongs to another connection alone. Use another name.`,
        { cause, retryable: false },
        'RESOURCE_LOCKED',
      );
    case 406: {
      const [, argument = 'arguments', want = 'other', have = 'other'] = INEQUIVALENT.exec(message) ?? [];
      return new TopologyConflictError([{ kind, entity, argument, have: quotedIn(have), want: quotedIn(want) }], {
        cause,
      });
    }
    default:
      return cause;
  }
}

/** `the value 'quorum' of type 'longstr'`, `'topic'`, `''x-random''` or `none`. */
function quotedIn(text: string): string {
  const [, twice, once] = /''([^']+)''|'([^']*)'/.exec(text) ?? [];
  return twice ?? once ?? text;
}
