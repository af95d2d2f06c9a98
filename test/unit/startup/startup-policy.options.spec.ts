import { describe, expect, it } from '@jest/globals';
import type { EventBusOptions } from '../../../lib/bus/event-bus.options.js';
import { PartMaker } from '../../../lib/bus/part-maker.js';
import { resolveOptions } from '../../../lib/bus/resolved-options.js';
import { ConfigurationError } from '../../../lib/core/errors.js';
import { fixedDelay, noWait, type StartupContext, type StartupPolicyInput } from '../../../lib/index.js';
import { startupGate } from '../../../lib/startup/startup-gate.js';
import { caughtFrom, problemsOf } from '../support/caught.js';
import { aContext, type FakeContext, missing } from '../support/startup.context.js';

type Policy = NonNullable<EventBusOptions['startup']>['policy'];

const KINDS =
  'noWait(), fixedDelay(ms), handshakeBarrier(requirements), policyChain(policies), a function, or an object or class with the method waitUntilReady, or data with a type: no-wait, fixed-delay, handshake-barrier, chain.';

const complaints = (policy: unknown): readonly string[] =>
  problemsOf(() => resolveOptions({ startup: { policy: policy as StartupPolicyInput } }));

class Recorded {
  readonly contexts: StartupContext[] = [];
  async waitUntilReady(context: StartupContext): Promise<void> {
    this.contexts.push(context);
  }
}

describe('startup.policy', () => {
  it.each<[string, Policy]>([
    ['a policy', noWait()],
    ['a function', async () => undefined],
    ['a class', Recorded],
    [
      'a class whose method is a field',
      class {
        waitUntilReady = async (): Promise<void> => undefined;
      },
    ],
    ['an object of a class', new Recorded()],
    ['none', []],
    ['several', [fixedDelay(1), async () => undefined, Recorded, { type: 'no-wait' }]],
    ['a delay as data', { type: 'fixed-delay', delayMs: 0 }],
    [
      'a barrier as data',
      { type: 'handshake-barrier', requirements: { a: 1 }, timeoutMs: 1, onTimeout: 'continue', announce: ['b'] },
    ],
    [
      'chains as data',
      { type: 'chain', mode: 'parallel', failFast: false, policies: [{ type: 'chain', policies: [Recorded] }] },
    ],
  ])('may be %s', (_, policy) => {
    expect(() => resolveOptions({ startup: { ...(policy && { policy }) } })).not.toThrow();
  });

  it.each<[unknown, string[]]>([
    [Number.NaN, [`startup.policy must be ${KINDS}`]],
    ['no-wait', [`startup.policy must be ${KINDS}`]],
    [{}, [`startup.policy must be ${KINDS}`]],
    [null, [`startup.policy must be ${KINDS}`]],
    [{ waitUntilReady: 1 }, [`startup.policy must be ${KINDS}`]],
    [class Own {}, ['startup.policy must have the method waitUntilReady.']],
    [{ name: 7, waitUntilReady() {} }, ['startup.policy.name must be a string, not a number.']],
    [
      { type: 'fixed-dela' },
      [
        'startup.policy.type must be one of "no-wait", "fixed-delay", "handshake-barrier", "chain". Did you mean "fixed-delay"?',
      ],
    ],
    [{ type: 'toString' }, [expect.stringContaining('startup.policy.type must be one of') as unknown as string]],
    [{ type: 'fixed-delay' }, ['startup.policy.delayMs is required.']],
    [{ type: 'no-wait', delayMs: 1 }, ['startup.policy.delayMs is not an option. Known: type.']],
    [
      { type: 'handshake-barrier', timeoutMs: '1 s' },
      ['startup.policy.timeoutMs must be a whole number, not a string.', 'startup.policy.requirements is required.'],
    ],
    [
      { type: 'handshake-barrier', requirements: {}, announce: ['', 'a'.repeat(128), 'a'.repeat(129)] },
      [
        'startup.policy.requirements must name at least one role.',
        'startup.policy.announce[0] must be 1 to 128 characters.',
        'startup.policy.announce[2] must be 1 to 128 characters.',
      ],
    ],
    [
      { type: 'handshake-barrier', requirements: { '': 1 } },
      ['startup.policy.requirements has a role that is empty, or has more than 128 characters.'],
    ],
    [
      [noWait(), { type: 'chain', policies: [{ type: 'fixed-delay', delayMs: 1.5 }] }],
      ['startup.policy[1].policies[0].delayMs must be a whole number from 0 to 86400000; got 1.5.'],
    ],
    [{ type: 'chain', policies: {} }, ['startup.policy.policies must be an array, not an object.']],
    [{ type: 'chain' }, ['startup.policy.policies is required.']],
  ])('cannot be %j', (policy, expected) => {
    expect(complaints(policy)).toEqual(expected);
  });
});

/** Waits for what the option says, with what the test has. */
async function pass(policy: Policy, context: FakeContext, make = async (Own: new () => unknown) => new Own()) {
  const raw: EventBusOptions = { startup: { ...(policy && { policy }) } };
  const maker = new PartMaker(raw, resolveOptions(raw), make as ConstructorParameters<typeof PartMaker>[2]);
  const made = maker.startup();
  if (!made) throw new Error('There is no policy.');
  const gate = startupGate({ ...context, policy: made, rendezvous: () => context.rendezvous });
  await gate(context.signal);
}

describe('what a policy is made of', () => {
  it('is given what it may need', async () => {
    const context = aContext();
    const policy = new Recorded();
    await pass(policy, context);
    const { abort: _, ...given } = context;
    expect(policy.contexts).toEqual([expect.objectContaining(given)]);
  });

  it('data, functions and classes, in the order of the option', async () => {
    const context = aContext();
    const seen: string[] = [];
    class Own {
      async waitUntilReady(): Promise<void> {
        seen.push(`class after ${context.rendezvous.calls.length} calls`);
      }
    }
    const barrier = { type: 'handshake-barrier', requirements: { a: 1 }, timeoutMs: 5, announce: ['b'] } as const;
    const last = { type: 'chain', policies: [async () => void seen.push('function')], mode: 'parallel' } as const;
    await pass([{ type: 'no-wait' }, { type: 'fixed-delay', delayMs: 0 }, barrier, Own, last], context);
    expect(context.rendezvous.calls).toEqual([{ announced: ['b'] }, { requirements: { a: 1 }, timeoutMs: 5 }]);
    expect(seen).toEqual(['class after 2 calls', 'function']);
  });

  it('an array ends with its first failure, data may say otherwise', async () => {
    const context = aContext();
    context.rendezvous.waiting = () => Promise.reject(missing('billing'));
    const barrier = { type: 'handshake-barrier', requirements: { billing: 1 } } as const;
    const after = new Recorded();
    expect(await caughtFrom(pass([barrier, after], context))).toMatchObject({
      policy: 'handshake-barrier',
      message: expect.stringContaining('Missing: 1 × billing.'),
    });
    expect(after.contexts).toEqual([]);
    await pass({ type: 'chain', policies: [barrier, after], failFast: false }, context);
    await pass([{ ...barrier, onTimeout: 'continue' }, after], context);
    expect(after.contexts).toHaveLength(2);
  });

  it('a class is made once, and what is wrong with that is told with its path', async () => {
    const made: unknown[] = [];
    const raw: EventBusOptions = { startup: { policy: Recorded } };
    const maker = new PartMaker(raw, resolveOptions(raw), async (type) => {
      made.push(type);
      return new (type as unknown as new () => never)();
    });
    const policy = maker.startup();
    expect(made).toEqual([]);
    expect(await policy?.()).toBe(await policy?.());
    expect(made).toEqual([Recorded]);

    const error = await caughtFrom(
      pass([{ type: 'chain', policies: [Recorded] }], aContext(), () => Promise.reject(new Error('no Database'))),
    );
    expect(error).toBeInstanceOf(ConfigurationError);
    expect(error.message).toBe('startup.policy[0].policies[0]: Recorded cannot be made: no Database');
  });
});
