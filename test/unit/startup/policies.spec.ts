import { describe, expect, it, jest } from '@jest/globals';
import { BusClosedError, ConnectionError, StartupPolicyError } from '../../../lib/core/errors.js';
import { fixedDelay, handshakeBarrier, noWait, policyChain } from '../../../lib/index.js';
import { passPolicy } from '../../../lib/startup/pass-policy.js';
import { caughtFrom, problemsOf } from '../support/caught.js';
import { withFakeTimers } from '../support/fake-timers.js';
import { aContext, missing, untilAborted } from '../support/startup.context.js';

const PEER = { instanceId: 'a', service: 'billing', roles: ['billing'], since: 0 };

describe('noWait', () => {
  it('lets everything pass', async () => {
    const context = aContext();
    await noWait().waitUntilReady(context);
    expect(context.rendezvous.calls).toEqual([]);
    expect(context.logger.lines).toEqual([]);
  });
});

describe('fixedDelay', () => {
  withFakeTimers();

  it('waits so long and no longer', async () => {
    let isPast = false;
    const passing = fixedDelay(5_000)
      .waitUntilReady(aContext())
      .then(() => {
        isPast = true;
      });
    await jest.advanceTimersByTimeAsync(4_999);
    expect(isPast).toBe(false);
    await jest.advanceTimersByTimeAsync(1);
    expect(isPast).toBe(true);
    await passing;
  });

  it('ends with the reason of the signal, and leaves no timer', async () => {
    const context = aContext();
    const passing = fixedDelay(5_000).waitUntilReady(context);
    const closed = new BusClosedError('start');
    context.abort.abort(closed);
    await expect(passing).rejects.toBe(closed);
    expect(jest.getTimerCount()).toBe(0);
  });
});

describe('handshakeBarrier', () => {
  it('waits for its peers, 30 s unless it is said', async () => {
    const context = aContext();
    context.rendezvous.waiting = async () => [PEER];
    await handshakeBarrier({ billing: 1, worker: 2 }).waitUntilReady(context);
    await handshakeBarrier({ billing: 1 }, { timeoutMs: 50 }).waitUntilReady(context);
    expect(context.rendezvous.calls).toEqual([
      { requirements: { billing: 1, worker: 2 }, timeoutMs: 30_000 },
      { requirements: { billing: 1 }, timeoutMs: 50 },
    ]);
    expect(context.logger.lines).toEqual([
      'log: Waits up to 30000 ms for 1 × billing, 2 × worker before anything is consumed',
      'log: Waits up to 50 ms for 1 × billing before anything is consumed',
    ]);
  });

  it('announces its own roles first, and waits when that is done', async () => {
    const context = aContext();
    let done: () => void = () => undefined;
    context.rendezvous.announcing = new Promise((resolve) => {
      done = resolve;
    });
    const passing = handshakeBarrier({ billing: 1 }, { announce: ['orders'] }).waitUntilReady(context);
    expect(context.rendezvous.calls).toEqual([{ announced: ['orders'] }]);
    done();
    await passing;
    expect(context.rendezvous.calls).toHaveLength(2);
  });

  it('fails with the error that names what is missing', async () => {
    const context = aContext();
    const error = missing('billing');
    context.rendezvous.waiting = () => Promise.reject(error);
    await expect(handshakeBarrier({ billing: 1 }).waitUntilReady(context)).rejects.toBe(error);
  });

  it('continues without its peers, and warns', async () => {
    const context = aContext();
    context.rendezvous.waiting = () => Promise.reject(missing('billing'));
    await handshakeBarrier({ billing: 1 }, { onTimeout: 'continue' }).waitUntilReady(context);
    expect(context.logger.lines[1]).toBe(
      'warn: The startup policy "handshake-barrier" goes on without its peers. RendezvousTimeoutError: Missing: 1 × billing.',
    );
  });

  it.each(['announcing', 'waiting'] as const)('does not continue after another error, when %s', async (step) => {
    const context = aContext();
    const error = new ConnectionError('lost');
    if (step === 'announcing') context.rendezvous.announcing = Promise.reject(error);
    else context.rendezvous.waiting = () => Promise.reject(error);
    const policy = handshakeBarrier({ billing: 1 }, { onTimeout: 'continue', announce: ['orders'] });
    await expect(policy.waitUntilReady(context)).rejects.toBe(error);
  });

  it.each(['fail', 'continue'] as const)('ends when the bus closes (%s)', async (onTimeout) => {
    const context = aContext();
    context.rendezvous.waiting = untilAborted;
    const passing = handshakeBarrier({ billing: 1 }, { onTimeout }).waitUntilReady(context);
    const closed = new BusClosedError('start');
    context.abort.abort(closed);
    await expect(passing).rejects.toBe(closed);
    expect(context.logger.lines.filter((line) => line.startsWith('warn'))).toEqual([]);
  });

  it('does not wait when the bus has closed while it announced', async () => {
    const context = aContext();
    const passing = handshakeBarrier({ billing: 1 }, { announce: ['orders'] }).waitUntilReady(context);
    context.abort.abort(new BusClosedError('start'));
    await expect(passing).rejects.toBeInstanceOf(BusClosedError);
    expect(context.rendezvous.calls).toHaveLength(1);
  });
});

describe('a policy that fails', () => {
  it.each([
    [
      'an object with a name',
      { name: 'database', waitUntilReady: () => Promise.reject(new Error('locked')) },
      'database',
    ],
    [
      'an object of a class',
      new (class Migrated {
        async waitUntilReady(): Promise<void> {
          throw new Error('locked');
        }
      })(),
      'Migrated',
    ],
    ['an object', { waitUntilReady: () => Promise.reject(new Error('locked')) }, 'Object'],
    [
      'a function',
      async function migrated(): Promise<void> {
        throw new Error('locked');
      },
      'migrated',
    ],
    [
      'a function without a name',
      (
        () => () =>
          Promise.reject(new Error('locked'))
      )(),
      'function',
    ],
    [
      'a function that is not async',
      function hasty(): never {
        throw new Error('locked');
      },
      'hasty',
    ],
  ] as const)('is named by its error: %s', async (_, policy, name) => {
    const error = await caughtFrom(passPolicy(policy, aContext()));
    expect(error).toBeInstanceOf(StartupPolicyError);
    expect(error).toMatchObject({
      code: 'STARTUP_POLICY',
      policy: name,
      retryable: true,
      message: `The startup policy "${name}" failed: Error: locked`,
      cause: expect.objectContaining({ message: 'locked' }),
    });
  });

  it('may be tried again if its cause may', async () => {
    const refused = new ConnectionError('refused', { retryable: false });
    const error = await caughtFrom(passPolicy(() => Promise.reject(refused), aContext()));
    expect(error).toMatchObject({ retryable: false, cause: refused });
  });

  it('within chains is the one that is named', async () => {
    const policy = policyChain([
      noWait(),
      policyChain([{ name: 'inner', waitUntilReady: () => Promise.reject('no') }]),
    ]);
    expect(await caughtFrom(passPolicy(policy, aContext()))).toMatchObject({ policy: 'inner', cause: 'no' });
  });

  it('is not asked when the signal is aborted already, and does not pass when it was meanwhile', async () => {
    const context = aContext();
    const closed = new BusClosedError('start');
    let calls = 0;
    const policy = async () => {
      calls++;
      context.abort.abort(closed);
    };
    await expect(passPolicy(policy, context)).rejects.toBe(closed);
    await expect(passPolicy(policy, context)).rejects.toBe(closed);
    expect(calls).toBe(1);
  });
});

describe('arguments that cannot be meant', () => {
  const loose = { fixedDelay, handshakeBarrier, policyChain } as unknown as Record<
    string,
    (...args: unknown[]) => void
  >;

  it.each<[string, unknown[], string[]]>([
    ['fixedDelay', [-1], ['fixedDelay.delayMs must be a whole number from 0 to 86400000; got -1.']],
    ['fixedDelay', ['5'], ['fixedDelay.delayMs must be a whole number, not a string.']],
    ['fixedDelay', [], ['fixedDelay.delayMs is required.']],
    ['handshakeBarrier', [], ['handshakeBarrier.requirements is required.']],
    ['handshakeBarrier', [{}], ['handshakeBarrier.requirements must name at least one role.']],
    [
      'handshakeBarrier',
      [
        { a: 0, 'b.*': '1' },
        { timeoutMs: 0, onTimeout: 'go', announce: 'me', retries: 1 },
      ],
      [
        'handshakeBarrier.timeoutMs must be a whole number from 1 to 86400000; got 0.',
        'handshakeBarrier.onTimeout must be one of "fail", "continue".',
        'handshakeBarrier.announce must be an array, not a string.',
        'handshakeBarrier.retries is not an option. Known: requirements, timeoutMs, onTimeout, announce.',
        'handshakeBarrier.requirements["a"] must be a whole number from 1 to 10000; got 0.',
        'handshakeBarrier.requirements["b.*"] must be a whole number, not a string.',
      ],
    ],
    ['policyChain', [], ['policyChain.policies is required.']],
    [
      'policyChain',
      [[{ type: 'no-wait' }, class Own {}, { name: '', waitUntilReady() {} }], { mode: 'serial', failFast: 1 }],
      [
        'policyChain.mode must be one of "sequential", "parallel".',
        'policyChain.failFast must be true or false, not a number.',
        "policyChain.policies[0] must be a policy or a function. Classes and data go into { type: 'chain', policies: […] }, of which the bus makes them.",
        "policyChain.policies[1] must be a policy or a function. Classes and data go into { type: 'chain', policies: […] }, of which the bus makes them.",
        'policyChain.policies[2].name must be a non-empty string.',
      ],
    ],
  ])('%s(%j)', (name, args, complaints) => {
    expect(problemsOf(() => loose[name]?.(...args))).toEqual(complaints);
  });
});
