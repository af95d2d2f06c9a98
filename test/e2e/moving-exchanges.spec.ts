import { describe, expect, it } from '@jest/globals';
import { connect } from 'amqplib';
import { type EventBusModuleOptions, OnEvent, type OnEventOptions } from '../../lib/index.js';
import { until } from '../../lib/testing/contract/until.js';
import { isReachable, RABBITMQ } from '../support/brokers.js';
import { type Lab, type LabApp, withLab } from '../support/lab.js';

const described = (await isReachable(RABBITMQ)) ? describe : describe.skip;

/** Deploys a version of the service with one handler. */
async function deploy(lab: Lab, on: OnEventOptions, options: EventBusModuleOptions = {}): Promise<LabApp> {
  class Listener {
    @OnEvent('o.*', on)
    handle(): void {}
  }
  return lab.boot({ providers: [Listener], options });
}

/** Whether any group gets an event of that exchange. */
async function isRouted({ bus }: LabApp, exchange: string): Promise<boolean> {
  return (await bus.publish('o.1', 1, { exchange, unroutable: 'ignore' })).routed === true;
}

async function withChannel(
  work: (channel: Awaited<ReturnType<Awaited<ReturnType<typeof connect>>['createChannel']>>) => Promise<unknown>,
): Promise<void> {
  const connection = await connect(RABBITMQ.url);
  try {
    await work(await connection.createChannel());
  } finally {
    await connection.close();
  }
}

async function recorded(lab: Lab): Promise<void> {
  const queue = `${lab.exchange}.groups.${lab.service}`;
  await until('the groups are recorded', async () => {
    let count = 0;
    await withChannel(async (channel) => {
      channel.on('error', () => undefined); // the check rejects with it
      count = (await channel.checkQueue(queue).catch(() => ({ messageCount: 0 }))).messageCount;
    });
    return count === 1;
  });
}

described('A group that moves to another exchange', () => {
  it(
    'is told that it is bound on the one before, and is unbound there',
    withLab(RABBITMQ.url, async (lab) => {
      const [group, audit] = [lab.willRemoveGroup(`${lab.name}.mv`), lab.willRemoveExchange(`${lab.name}.audit`)];
      const options = { exchanges: { [audit]: 'topic' as const } };
      const first = await deploy(lab, { group }, options);
      await recorded(lab);
      await first.app.close();

      const second = await deploy(lab, { group, exchange: audit }, options);
      const stale = [{ group, pattern: 'o.*', exchange: lab.exchange }];
      await until('it is told', () => JSON.stringify(second.bus.describe().stalePatterns) === JSON.stringify(stale));
      expect(lab.lines.join('\n')).toContain(`Say unbind: { exchange: '${lab.exchange}', pattern: 'o.*' }.`);
      expect(await isRouted(second, lab.exchange)).toBe(true);
      await second.app.close();

      const unbind = { exchange: lab.exchange, pattern: 'o.*' };
      const third = await deploy(lab, { group, exchange: audit, unbind }, options);
      expect(await isRouted(third, lab.exchange)).toBe(false);
      expect(await isRouted(third, audit)).toBe(true);
      expect(third.bus.describe()).toMatchObject({ stalePatterns: [] });
    }),
  );

  it(
    'is unbound from an exchange that is not in the options any more, without making it anew',
    withLab(RABBITMQ.url, async (lab) => {
      const [group, left] = [lab.willRemoveGroup(`${lab.name}.mv`), lab.willRemoveExchange(`${lab.name}.left`)];
      const options = { exchanges: { [left]: 'direct' as const } };
      const first = await deploy(lab, { group, exchange: left }, options);
      await first.app.close();
      const unbind = [left, `${left}.never`].map((exchange) => ({ exchange, pattern: 'o.*' }));
      const second = await deploy(lab, { group, unbind });
      expect(await isRouted(second, lab.exchange)).toBe(true);
      const third = await lab.boot({ options });
      expect(await isRouted(third, left)).toBe(false);
      await withChannel((channel) => {
        channel.on('error', () => undefined); // the check rejects with it
        return expect(channel.checkExchange(`${left}.never`)).rejects.toMatchObject({ code: 404 });
      });
    }),
  );

  it(
    'and has another name there, is unbound from the one before under its old name',
    withLab(RABBITMQ.url, async (lab) => {
      const [old, group] = [lab.willRemoveGroup(`${lab.name}.old`), lab.willRemoveGroup(`${lab.name}.new`)];
      const audit = lab.willRemoveExchange(`${lab.name}.audit`);
      const options = { exchanges: { [audit]: 'topic' as const } };
      const first = await deploy(lab, { group: old }, options);
      await recorded(lab);
      await first.app.close();
      const second = await deploy(lab, { group, exchange: audit, renamedFrom: old }, options);
      await until('the old name is unbound', async () => !(await isRouted(second, lab.exchange)));
      expect(await isRouted(second, audit)).toBe(true);
    }),
  );

  it(
    'needs both the exchange and the pattern to be unbound',
    withLab(undefined, async (lab) => {
      const unbind = { exchange: 'events' } as never;
      await expect(deploy(lab, { group: 'mv', unbind })).rejects.toThrow(/unbind needs exchange and pattern/);
      const typo = { exchange: 'events', patern: 'a' } as never;
      await expect(deploy(lab, { group: 'mv', unbind: [typo] })).rejects.toThrow(
        /unbind\[0\]\.patern is not an option/,
      );
    }),
  );
});
