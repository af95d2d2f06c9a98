import assert from 'node:assert/strict';
import type { ContractCase } from './contract.js';
import { transportCase } from './contract-case.js';
import { listen } from './listener.js';
import { createMessage } from './message.factory.js';

/** Longer than other cases may take: a transport may first look for what is written down of its groups. */
const TAKE_OVER_MS = 15_000;

/** What a new version of a service finds of the one before it. */
export const DEPLOY_CASES: readonly ContractCase[] = [
  transportCase('a binding that a group does not want any more is taken away', async (bench) => {
    const before = bench.shared('group', { bindings: bench.bind('a.*', 'b.*') });
    const transport = await bench.open(before);
    const after = { ...before, bindings: bench.bind('a.*'), unbind: bench.bind('b.*', 'never.bound') };
    const listener = await listen(transport, after);
    await bench.publishAll(transport, [createMessage('b.1'), createMessage('a.1')]);
    const [delivery] = await listener.deliveries.settle(1);
    assert.equal(delivery?.message.topic, 'a.1');
  }),

  transportCase('a binding on an exchange that a group has left is taken away, by its name alone', async (bench) => {
    const [left, gone] = [bench.newExchange('left'), { ...bench.exchange, name: `${bench.name}.gone` }];
    const before = bench.shared('group', { bindings: [{ exchange: left, pattern: 'a.*' }] });
    const transport = await bench.open(before);
    const unbind = [left, gone].map(({ name }) => ({
      exchange: { name, handler: bench.exchange.handler },
      pattern: 'a.*',
    }));
    const listener = await listen(transport, { ...before, bindings: bench.bind('a.*'), unbind });
    const { routed } = await transport.publish({ kind: 'exchange', exchange: left }, createMessage('a.left'));
    assert.equal(routed, false);
    await bench.publish(transport, createMessage('a.1'));
    const [delivery] = await listener.deliveries.settle(1);
    assert.equal(delivery?.message.topic, 'a.1');
  }),

  transportCase('a group takes over what it holds under a name that it had before', async (bench) => {
    const before = bench.shared('old');
    const transport = await bench.open(before);
    const left = createMessage('a.left');
    await bench.publish(transport, left);
    const after = bench.shared('new', { previous: [before.group ?? ''] });
    const listener = await listen(transport, after);
    await listener.deliveries.reach(1, TAKE_OVER_MS);
    // the old name is not bound any more: this one comes once
    const fresh = createMessage('a.fresh');
    await bench.publish(transport, fresh);
    await listener.deliveries.settle(2);
    assert.deepEqual(
      listener.messages.map(({ id }) => id),
      [left.id, fresh.id],
    );
  }),
];
