import { describe, expect, it } from '@jest/globals';
import { BusClosedError } from '../../../lib/core/errors.js';
import { type PolicyChainOptions, policyChain, type StartupPolicy } from '../../../lib/index.js';
import { caughtFrom } from '../support/caught.js';
import { type Deferred, deferred, settled } from '../support/deferred.js';
import { maxListenersOf } from '../support/max-listeners.js';
import { aContext, type FakeContext, untilAborted } from '../support/startup.context.js';

/** Policies that end as the test says, and what they did in order. */
class Steps {
  readonly log: string[] = [];
  private readonly ends = new Map<string, Deferred>();

  policy(name: string): StartupPolicy {
    const end = deferred();
    this.ends.set(name, end);
    return {
      name,
      waitUntilReady: async ({ signal }) => {
        this.log.push(`${name} begins`);
        try {
          await Promise.race([end.promise, untilAborted(signal)]);
          this.log.push(`${name} passes`);
        } catch (error) {
          this.log.push(`${name} ${signal.aborted ? 'is aborted' : 'fails'}`);
          throw error;
        }
      },
    };
  }

  async pass(name: string): Promise<void> {
    this.ends.get(name)?.resolve();
    await settled();
  }

  async fail(name: string): Promise<void> {
    this.ends.get(name)?.reject(new Error(`${name} is broken`));
    await settled();
  }
}

async function run(options: PolicyChainOptions): Promise<{
  readonly steps: Steps;
  readonly context: FakeContext;
  readonly ended: Promise<void>;
}> {
  const steps = new Steps();
  const context = aContext();
  const ended = policyChain([steps.policy('a'), steps.policy('b'), steps.policy('c')], options).waitUntilReady(context);
  ended.catch(() => undefined); // looked at later
  await settled();
  return { steps, context, ended };
}

describe('a sequential chain', () => {
  it('takes one after the other', async () => {
    const { steps, ended } = await run({});
    expect(steps.log).toEqual(['a begins']);
    for (const name of ['a', 'b', 'c']) await steps.pass(name);
    await ended;
    expect(steps.log).toEqual(['a begins', 'a passes', 'b begins', 'b passes', 'c begins', 'c passes']);
  });

  it('ends with the first failure', async () => {
    const { steps, ended } = await run({});
    await steps.pass('a');
    await steps.fail('b');
    expect(await caughtFrom(ended)).toMatchObject({ code: 'STARTUP_POLICY', policy: 'b' });
    expect(steps.log.at(-1)).toBe('b fails');
  });

  it('without failFast goes on, and logs what failed', async () => {
    const { steps, context, ended } = await run({ failFast: false });
    await steps.fail('a');
    await steps.pass('b');
    await steps.fail('c');
    await ended;
    expect(context.logger.lines).toEqual([
      'error: StartupPolicyError: The startup policy "a" failed: Error: a is broken The start goes on all the same.',
      'error: StartupPolicyError: The startup policy "c" failed: Error: c is broken The start goes on all the same.',
    ]);
  });

  it('passes when it is empty', async () => {
    await expect(policyChain([]).waitUntilReady(aContext())).resolves.toBeUndefined();
    await expect(policyChain([], { mode: 'parallel' }).waitUntilReady(aContext())).resolves.toBeUndefined();
  });
});

describe('a parallel chain', () => {
  it('takes all at one time, and passes when the last has', async () => {
    const { steps, ended } = await run({ mode: 'parallel' });
    expect(steps.log).toEqual(['a begins', 'b begins', 'c begins']);
    for (const name of ['c', 'a', 'b']) await steps.pass(name);
    await ended;
    expect(steps.log.slice(3)).toEqual(['c passes', 'a passes', 'b passes']);
  });

  it('aborts the others with the first failure, and has ended when they have', async () => {
    const { steps, context, ended } = await run({ mode: 'parallel' });
    await steps.pass('c');
    await steps.fail('b');
    const error = await caughtFrom(ended);
    expect(error).toMatchObject({ policy: 'b', cause: { message: 'b is broken' } });
    expect(steps.log.slice(3)).toEqual(['c passes', 'b fails', 'a is aborted']);
    expect(context.signal.aborted).toBe(false);
  });

  it('may be of any length: what all listen to is no leak', async () => {
    const most = new Set<unknown>();
    const policy = async ({ signal }: { readonly signal: AbortSignal }): Promise<void> => {
      most.add(maxListenersOf(signal));
    };
    await policyChain([policy, policy], { mode: 'parallel' }).waitUntilReady(aContext());
    expect([...most]).toEqual([0]);
  });

  it('waits for one that takes its time to end', async () => {
    const tidied = deferred();
    let isTidy = false;
    const slow = async ({ signal }: { readonly signal: AbortSignal }): Promise<void> => {
      await untilAborted(signal).catch(() => tidied.promise);
      isTidy = true;
    };
    const chain = policyChain([slow, () => Promise.reject(new Error('no'))], { mode: 'parallel' });
    const ended = caughtFrom(chain.waitUntilReady(aContext())).then((error) => ({ error, isTidy }));
    await settled();
    tidied.resolve();
    expect(await ended).toMatchObject({ isTidy: true, error: { cause: { message: 'no' } } });
  });

  it('without failFast lets all have their turn, and logs what failed', async () => {
    const { steps, context, ended } = await run({ mode: 'parallel', failFast: false });
    await steps.fail('b');
    await steps.pass('a');
    await steps.fail('c');
    await ended;
    expect(steps.log.slice(3)).toEqual(['b fails', 'a passes', 'c fails']);
    expect(context.logger.lines).toHaveLength(2);
  });
});

describe.each<PolicyChainOptions>([
  { mode: 'sequential' },
  { mode: 'sequential', failFast: false },
  { mode: 'parallel' },
  { mode: 'parallel', failFast: false },
])('a chain %j', (options) => {
  it('ends when the bus closes, with all that runs', async () => {
    const { steps, context, ended } = await run(options);
    const begun = steps.log.length;
    const closed = new BusClosedError('start');
    context.abort.abort(closed);
    await expect(ended).rejects.toBe(closed);
    expect(steps.log.filter((line) => line.endsWith('is aborted'))).toHaveLength(begun);
    expect(steps.log).toHaveLength(2 * begun);
    expect(context.logger.lines).toEqual([]);
  });
});
