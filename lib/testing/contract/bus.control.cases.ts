import assert from 'node:assert/strict';
import type { ContractCase } from './contract.js';
import { busCase } from './contract-case.js';
import { Log } from './log.js';

/** What instances tell each other. */
export const CONTROL_CASES: readonly ContractCase[] = [
  busCase(
    'control messages reach who listens, this instance too, from when it listens until it stops',
    async (bench) => {
      const { bus } = await bench.start();
      const heard = new Log<string>('control messages');
      const listener = {
        onMessage: (kind: string, { n }: Readonly<Record<string, unknown>>) => heard.add(`${kind} ${String(n)}`),
      };
      await bus.control.send('test', { n: 0 });
      const stop = await bus.control.listen(listener);
      await bus.control.send('test', { n: 1 });
      await bus.control.send('other', { n: 2 });
      assert.deepEqual(await heard.settle(2), ['test 1', 'other 2']);
      await stop();
      await bus.control.send('test', { n: 3 });
      await heard.settle(2);
      await bus.control.listen(listener);
      await bus.control.send('test', { n: 4 });
      assert.deepEqual((await heard.settle(3)).slice(2), ['test 4']);
    },
  ),

  busCase(
    'control messages reach every instance once, and no subscription to events',
    async (bench) => {
      const heard = new Log<string>('control messages');
      const [one, two] = [await bench.start(), await bench.start()];
      await one.bus.subscribe('#', (_, { topic }) => heard.add(`event ${topic}`));
      for (const [name, { bus }] of [['one', one] as const, ['two', two] as const])
        await bus.control.listen({ onMessage: (kind) => heard.add(`${name} ${kind}`) });
      await one.bus.control.send('from.one', {});
      await two.bus.control.send('from.two', {});
      const all = ['one from.one', 'one from.two', 'two from.one', 'two from.two'];
      assert.deepEqual((await heard.settle(4)).toSorted(), all);
    },
    'shared',
  ),
];
