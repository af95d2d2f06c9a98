import { describe, expect, it } from '@jest/globals';
import type { ControlChannel, ControlListener } from '../../../lib/bus/control-channel.js';
import { BusClosedError, ConnectionError } from '../../../lib/core/errors.js';
import { Cancellations } from '../../../lib/rpc/cancellations.js';
import { deferred, settled } from '../support/deferred.js';
import { RecordingLogger } from '../support/recording.logger.js';

function start(over: Partial<Pick<ControlChannel, 'send' | 'listen'>> = {}) {
  const sent: [string, Readonly<Record<string, unknown>>][] = [];
  const listeners: ControlListener[] = [];
  const logger = new RecordingLogger();
  const control = {
    send: async (kind: string, body: Readonly<Record<string, unknown>>) => void sent.push([kind, body]),
    listen: async (listener: ControlListener) => {
      listeners.push(listener);
      return async () => undefined;
    },
    ...over,
  } as unknown as ControlChannel;
  return { sent, listeners, logger, cancellations: new Cancellations(control, logger) };
}

const away = async (): Promise<never> => {
  throw new Error('away');
};

describe('cancellations', () => {
  it('of one turn go together, 500 in a message', async () => {
    const { sent, cancellations } = start();
    for (let n = 0; n < 1_201; n++) cancellations.tell(`r-${n}`);
    expect(sent).toEqual([]);
    await settled();
    expect(sent.map(([kind, { requests }]) => [kind, (requests as string[]).length])).toEqual([
      ['cancel', 500],
      ['cancel', 500],
      ['cancel', 201],
    ]);
    cancellations.tell('later');
    await settled();
    expect(sent.at(-1)).toEqual(['cancel', { requests: ['later'] }]);
  });

  it('are heard, but nothing else, and of a message no more than 500', async () => {
    const { listeners, cancellations } = start();
    const heard: string[] = [];
    await Promise.all([cancellations.listen((id) => heard.push(id)), cancellations.listen(() => undefined)]);
    expect(listeners).toHaveLength(1);
    const [listener] = listeners;
    listener?.onMessage('ready', { requests: ['x'] }, {} as never);
    listener?.onMessage('cancel', {}, {} as never);
    listener?.onMessage('cancel', { requests: 'x' }, {} as never);
    listener?.onMessage('cancel', { requests: ['a', 7, null, 'b'] }, {} as never);
    expect(heard).toEqual(['a', 'b']);
    listener?.onMessage('cancel', { requests: Array.from({ length: 600 }, (_, n) => `r-${n}`) }, {} as never);
    expect(heard).toHaveLength(502);
  });

  it('are heard when the broker comes after the start', async () => {
    const tries: (number | undefined)[] = [];
    const opened = deferred<() => Promise<void>>();
    const { logger, cancellations } = start({
      listen: (_, { timeoutMs } = {}) => {
        tries.push(timeoutMs);
        return tries.length === 1 ? Promise.reject(new ConnectionError('away')) : opened.promise;
      },
    });
    await cancellations.listen(() => undefined);
    expect(tries).toEqual([undefined, 2 ** 31 - 1]);
    opened.reject(new BusClosedError('listen'));
    await settled();
    expect(logger.lines).toHaveLength(1);
  });

  it('that the broker refuses are not tried with each request', async () => {
    let tries = 0;
    const refuse = (): Promise<void> => {
      tries++;
      return Promise.reject(new ConnectionError('refused', { retryable: false }, 'ACCESS_REFUSED'));
    };
    const { logger, cancellations } = start({ send: refuse });
    for (const id of ['a', 'b', 'c']) {
      cancellations.tell(id);
      await settled();
    }
    expect([tries, logger.lines.length]).toEqual([1, 1]);
  });

  it('that cannot be told or heard are said once, and nothing rejects', async () => {
    const { logger, cancellations } = start({ send: away, listen: away });
    await cancellations.listen(() => undefined);
    cancellations.tell('a');
    await settled();
    cancellations.tell('b');
    await settled();
    expect(logger.lines).toEqual([expect.stringContaining('deadlines')]);
  });
});
