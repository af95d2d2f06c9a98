import { describe, expect, it } from '@jest/globals';
import type { StartupContext } from '../../../lib/index.js';
import { ConfigFolder } from '../support/config-folder.js';

const PARTS = `
export class Own { constructor(...args) { this.args = args; } async waitUntilReady() {} }
export const instance = new Own('instance');
export async function ready() {}
export const waitFor = (name) => ({ name, async waitUntilReady() {} });
`;

async function policyOf(written: string, env: Record<string, string> = {}): Promise<unknown> {
  using folder = new ConfigFolder({ 'event-bus.jsonc': `{ "startup": { "policy": ${written} } }`, 'parts.mjs': PARTS });
  return (await folder.load({ env })).startup?.policy;
}

describe('startup.policy of a file', () => {
  it.each<[string, unknown]>([
    ['{ "type": "no-wait" }', { type: 'no-wait' }],
    [`{ "type": "fixed-delay", "delayMs": \${DELAY} }`, { type: 'fixed-delay', delayMs: 250 }],
    [
      '{ "type": "handshake-barrier", "requirements": { "worker.*": 2 }, "timeoutMs": null, "announce": ["a"] }',
      { type: 'handshake-barrier', requirements: { 'worker.*': 2 }, announce: ['a'] },
    ],
    [
      '[{ "type": "no-wait" }, { "type": "chain", "mode": "parallel", "failFast": false, "policies": [] }]',
      [{ type: 'no-wait' }, { type: 'chain', mode: 'parallel', failFast: false, policies: [] }],
    ],
  ])('is taken as it is: %s', async (written, expected) => {
    expect(await policyOf(written, { DELAY: '250' })).toEqual(expected);
  });

  it.each<[string, unknown]>([
    ['"./parts.mjs#Own"', { made: 'Own' }],
    ['"./parts.mjs#ready"', { made: 'ready' }],
    ['"./parts.mjs#instance"', { args: ['instance'] }],
    ['{ "[module]": "./parts.mjs#Own", "args": [1] }', { args: [1] }],
    ['{ "[module]": "./parts.mjs#waitFor", "args": ["db"] }', { name: 'db' }],
  ])('may be a module: %s', async (written, expected) => {
    const shown = (policy: unknown): unknown => (typeof policy === 'function' ? { made: policy.name } : policy);
    expect(shown(await policyOf(written))).toMatchObject(expected as object);
    const [first] = (await policyOf(`[${written}]`)) as unknown[];
    expect(shown(first)).toMatchObject(expected as object);
    const { policies } = (await policyOf(
      `{ "type": "chain", "policies": [{ "type": "chain", "policies": [${written}] }] }`,
    )) as { policies: readonly { policies: unknown[] }[] };
    expect(shown(policies[0]?.policies[0])).toMatchObject(expected as object);
  });

  it('has its complaints said where it stands', async () => {
    using folder = new ConfigFolder({
      'event-bus.jsonc': `{ "startup": { "policy": [
        { "type": "fixed-delay", "delayMs": "5 s" },
        { "type": "handshake-barrier", "requirements": { "a": \${COUNT} } },
        "./parts.mjs#Other",
        "no-wait"
      ] } }`,
      'parts.mjs': PARTS,
    });
    expect(await folder.problems({ env: { COUNT: '-7' } })).toEqual([
      'event-bus.jsonc:2: startup.policy[0].delayMs must be a whole number, not a string.',
      'event-bus.jsonc:3: startup.policy[1].requirements["a"] must be a whole number from 1 to 10000.',
      'event-bus.jsonc:4: startup.policy[2]: its module has no such export. It has: Own, instance, ready, waitFor.',
      expect.stringMatching(/^event-bus\.jsonc:5: startup\.policy\[3\] must be noWait\(\), /),
    ]);
  });
});

/** What becomes of the older keys. */
async function translated(text: string): Promise<{ readonly policy: unknown; readonly warnings: readonly string[] }> {
  using folder = new ConfigFolder({ 'config.jsonp': text });
  const { startup } = await folder.load({}, 'config.jsonp');
  return { policy: startup?.policy, warnings: folder.logger.lines.map((line) => line.replace(`${folder.path}/`, '')) };
}

const DOTTED = 'EventBusClient.startup_policy';

describe('the startup policies of EventBusClient', () => {
  it.each<[string, unknown]>([
    [`"startup_policy": "${DOTTED}.NoWait"`, { type: 'no-wait' }],
    ['"startup_policy": "NoWait", "startup_policy_args": None', { type: 'no-wait' }],
    [
      `"startup_policy": "${DOTTED}.FixedDelay", "startup_policy_args": { "seconds": 1.5 }`,
      { type: 'fixed-delay', delayMs: 1_500 },
    ],
    [
      `"startup_policy": "HandshakeBarrier", "startup_policy_args": { "requirements": { "worker": 2, "db": 0 }, "timeout": 0 }`,
      { type: 'handshake-barrier', requirements: { worker: 2, db: 1 }, timeoutMs: 1, onTimeout: 'continue' },
    ],
    [
      `"startup_policies": [
        { "class": "${DOTTED}.FixedDelay", "args": { "seconds": 2 }, "wrap": [] },
        { "class": "${DOTTED}.HandshakeBarrier", "args": { "requirements": { "worker": 1 } } },
        { "class": "PolicyChain", "args": { "policies": [{ "class": "NoWait" }], "mode": "parallel", "fail_fast": False } }
      ]`,
      {
        type: 'chain',
        policies: [
          { type: 'fixed-delay', delayMs: 2_000 },
          { type: 'handshake-barrier', requirements: { worker: 1 }, timeoutMs: 5_000, onTimeout: 'continue' },
          { type: 'chain', policies: [{ type: 'no-wait' }], mode: 'parallel', failFast: false },
        ],
      },
    ],
    [
      '"startup_policies": [], "startup_policies_mode": "parallel", "startup_policies_fail_fast": False',
      { type: 'chain', policies: [], mode: 'parallel', failFast: false },
    ],
  ])('%s', async (written, expected) => {
    expect(await translated(`{ ${written} }`)).toEqual({ policy: expected, warnings: [] });
  });

  it('keep what stands beside them', async () => {
    using folder = new ConfigFolder({
      'event-bus.jsonc': '{ "startup_policy": "NoWait", "startup": { "timeoutMs": 5 }, "transport": "memory:" }',
    });
    expect(await folder.load()).toEqual({
      transport: 'memory:',
      startup: { timeoutMs: 5, policy: { type: 'no-wait' } },
    });
  });

  it('several win over one, and what is alone has no effect, which is told', async () => {
    const both = '"startup_policies": [{ "class": "NoWait" }],\n"startup_policy": "FixedDelay"';
    expect(await translated(`{ ${both} }`)).toEqual({
      policy: { type: 'chain', policies: [{ type: 'no-wait' }] },
      warnings: ['warn: config.jsonp:2: startup_policy has no effect. There are startup_policies.'],
    });
    const alone = '"startup_policies_mode": "parallel", "startup_policies_fail_fast": True,\n"startup_policy_args": {}';
    expect(await translated(`{ ${alone} }`)).toEqual({
      policy: undefined,
      warnings: [
        'warn: config.jsonp:1: startup_policies_mode has no effect. There are no startup_policies.',
        'warn: config.jsonp:1: startup_policies_fail_fast has no effect. There are no startup_policies.',
        'warn: config.jsonp:2: startup_policy_args has no effect. There is no startup_policy.',
      ],
    });
  });

  it('that cannot be meant are refused, each where it stands', async () => {
    using folder = new ConfigFolder({
      'config.jsonp': `{ "startup_policies": [
        { "class": "PanelControlLegacyByAlias", "args": { "panel_control": True } },
        { "class": "x.GeneralCacheStartupPolicy" },
        { "class": "ConfigureUnroutablePolicy", "args": { "mode": "drop" } },
        { "class": "HandshakeBarier" },
        { "class": "toString" },
        { "class": 7 },
        { "args": {} },
        "NoWait",
        { "class": "NoWait", "args": { "seconds": 1 }, "name": "x" },
        { "class": "NoWait", "wrap": [{ "class": "Retry" }] },
        { "class": "FixedDelay", "args": { "second": 1 } },
        { "class": "FixedDelay", "args": { "seconds": -1 } },
        { "class": "FixedDelay", "args": [1] },
        { "class": "HandshakeBarrier" },
        { "class": "HandshakeBarrier", "args": { "requirements": ["a"], "timeout": "5" } },
        { "class": "HandshakeBarrier", "args": { "requirements": { "a": 1.5 } } },
        { "class": "PolicyChain" },
        { "class": "FixedDelay", "args": { "seconds": \${SECONDS} } }
      ],
      "startup_policies_mode": "serial",
      "startup_policies_fail_fast": 1 }`,
    });
    const own = 'A policy of your own is a module, in the option startup.policy.';
    const at = (line: number, index: number, complaint: string) =>
      `config.jsonp:${line}: startup_policies[${index}]${complaint}`;
    expect(await folder.problems({}, 'config.jsonp')).toEqual([
      at(
        2,
        0,
        '.class: PanelControlLegacyByAlias has no counterpart, for there are no aliases. Give the instances that wait "startup": { "policy": { "type": "fixed-delay", "delayMs": 60000 } }, or a handshake-barrier on the role of the controller, and the controller none.',
      ),
      at(
        3,
        1,
        '.class: GeneralCacheStartupPolicy has no counterpart. There is no general cache; subscribe with bus.observe(topic).',
      ),
      at(
        4,
        2,
        '.class: ConfigureUnroutablePolicy is no policy here. Set "publish": { "unroutable": … } to "ignore" (drop), "warn" (log), "reject" (raise), "store" (cache) or "alternate-exchange"; a callback is publish.onUnroutable.',
      ),
      at(
        5,
        3,
        `.class must be one of NoWait, FixedDelay, HandshakeBarrier, PolicyChain. Did you mean HandshakeBarrier? ${own}`,
      ),
      at(6, 4, `.class must be one of NoWait, FixedDelay, HandshakeBarrier, PolicyChain. ${own}`),
      at(7, 5, '.class must be the name of a class.'),
      at(8, 6, '.class is required.'),
      at(9, 7, ' must be an object with a class and its args.'),
      at(10, 8, '.args.seconds is not known. NoWait takes none.'),
      at(10, 8, '.name is not known. Known: class, args, wrap.'),
      at(
        11,
        9,
        '.wrap has no counterpart. Write a policy of your own that calls the other, and name its module in the option startup.policy.',
      ),
      at(12, 10, '.args.seconds is required.'),
      at(12, 10, '.args.second is not known. Known: seconds.'),
      at(13, 11, '.args.seconds must be a number of seconds from 0 to 86400.'),
      at(14, 12, '.args must be an object.'),
      at(15, 13, '.args.requirements is required.'),
      at(16, 14, '.args.requirements: startup.policy.policies[14].requirements must be an object, not an array.'),
      at(16, 14, '.args.timeout must be a number of seconds from 0 to 86400.'),
      at(
        17,
        15,
        '.args.requirements: startup.policy.policies[15].requirements["a"] must be a whole number from 1 to 10000; got 1.5.',
      ),
      at(18, 16, '.args.policies is required.'),
      at(19, 17, `.args.seconds: the variable SECONDS is not set; set it, or write \${SECONDS:-default}.`),
      'config.jsonp:21: startup_policies_mode: startup.policy.mode must be one of "sequential", "parallel".',
      'config.jsonp:22: startup_policies_fail_fast: startup.policy.failFast must be true or false, not a number.',
    ]);
  });

  it('beside the option that says the same are refused', async () => {
    using folder = new ConfigFolder({
      'event-bus.jsonc': '{ "startup_policies": [], "startup": { "policy": { "type": "no-wait" } } }',
    });
    expect(await folder.problems()).toEqual([
      'event-bus.jsonc:1: startup_policies and startup.policy say the same; keep startup.policy.',
    ]);
  });
});

it('a function of a module is called with the context', async () => {
  using folder = new ConfigFolder({
    'event-bus.jsonc': '{ "startup": { "policy": "./own.mjs#own" } }',
    'own.mjs': 'export const own = async ({ bus }) => { if (bus !== "default") throw new Error(bus); };',
  });
  const policy = (await folder.load()).startup?.policy as (context: Partial<StartupContext>) => Promise<void>;
  await expect(policy({ bus: 'default' })).resolves.toBeUndefined();
});
