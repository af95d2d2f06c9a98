import 'reflect-metadata';
import { describe, expect, it } from '@jest/globals';
import { RendezvousService } from '../../lib/index.js';
import { Log } from '../../lib/testing/contract/log.js';
import { until } from '../../lib/testing/contract/until.js';
import { type FakeLab, quickOptions, withFakeBroker } from './harness/fake-broker.lab.js';

async function boot({ lab, broker }: FakeLab, service: string) {
  const options = quickOptions(broker.url, { service, rendezvous: { leaseMs: 30_000 } });
  const { app } = await lab.boot({ options });
  return app.get(RendezvousService, { strict: false });
}

const controlOf = ({ broker }: FakeLab): number =>
  broker.got('ExchangeDeclare').filter(({ fields }) => String(fields.exchange).endsWith('.control')).length;

describe('the rendezvous when the broker fails', () => {
  it(
    'after a lost connection: the exchange is declared again, and those who came meanwhile are found',
    withFakeBroker(async (parts) => {
      const [one, two] = [await boot(parts, 'one'), await boot(parts, 'two')];
      const changes = new Log<string>('changes');
      one.changes().subscribe(({ kind, member }) => changes.add(`${kind} ${member.service} ${String(member.roles)}`));
      await Promise.all([one.announceReady(['one']), two.announceReady(['two'])]);
      await one.waitUntilReady({ two: 1 });
      const declared = controlOf(parts);
      for (const link of parts.broker.links) link.reset();
      await until('it is declared again', () => controlOf(parts) > declared, 10_000);
      await two.announceReady(['two.anew']);
      await one.waitUntilReady({ 'two.anew': 1 }, { timeoutMs: 15_000 });
      expect(changes.items.filter((change) => change.includes('expired'))).toEqual([]);
      expect(changes.items.at(-1)).toBe('changed two two.anew');
    }),
  );
});
