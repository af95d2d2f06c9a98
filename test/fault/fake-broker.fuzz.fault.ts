import 'reflect-metadata';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { expect, it } from '@jest/globals';
import { Log } from '../../lib/testing/contract/log.js';
import { bounded, until } from '../../lib/testing/contract/until.js';
import type { Lab, LabApp } from '../support/lab.js';
import { Dice } from './harness/fake-broker.dice.js';
import type { FakeBroker } from './harness/fake-broker.js';
import {
  FakeBrokerLab,
  groupOf,
  orderListener,
  outcomeOf,
  pendingOf,
  range,
  withFakeBroker,
} from './harness/fake-broker.lab.js';
import type { FakeLink } from './harness/fake-broker.link.js';
import { type Aim, MUTANTS } from './harness/fake-broker.mutants.js';

/** Mutants in all; by night one asks for many more. */
const FRAMES = Number(process.env.FAULT_FUZZ_FRAMES ?? 1_000);
const SEED = Number(process.env.FAULT_SEED ?? Math.floor(Math.random() * 2 ** 31));
/** Each waits for its backoff most of the time, as it loses one connection after the other. */
const BUSES = 16;
const RECOVERED_MS = 20_000;
/** A driver that is taken in by a mutant is not asked to notice, only to go on when the connection is gone. */
const NOTICED_MS = 30;
const SETTLED_MS = 20;

const KINDS = Object.keys(MUTANTS);

interface Victim extends LabApp {
  readonly lab: Lab;
  readonly seen: Log<unknown>;
}

function aimAt(dice: Dice, link: FakeLink): Aim {
  const channels = [...link.channels.values()];
  const channel = dice.pick([undefined, ...channels, ...channels]);
  return { channel: channel?.id ?? 0, tags: [...(channel?.consumers.keys() ?? [])] };
}

/** One of its connections, whatever for, that is past its handshake: mutants of that are another matter. */
async function linkOf(broker: FakeBroker, { lab }: Victim, dice: Dice): Promise<FakeLink> {
  let links: readonly FakeLink[] = [];
  await until('it is connected', () => {
    links = [...broker.links].filter(({ name, openMs }) => name.startsWith(`${lab.service} `) && openMs > SETTLED_MS);
    return links.length > 0;
  });
  return dice.pick(links);
}

async function works({ bus, seen }: Victim, payload: string): Promise<void> {
  const publish = async (): Promise<boolean> => {
    const { value } = await outcomeOf(bus.publish('orders.created', payload, { timeoutMs: 1_000 }));
    return value?.routed === true;
  };
  await until('it publishes again', publish, RECOVERED_MS);
  await until('it consumes again', () => seen.items.includes(payload), RECOVERED_MS);
}

it(
  `whatever ${FRAMES} mutant frames a broker sends, each bus goes on (seed ${SEED})`,
  withFakeBroker(async ({ broker }) => {
    process.stderr.write(`Fuzzing with FAULT_SEED=${SEED} FAULT_FUZZ_FRAMES=${FRAMES}\n`);
    const sent = new Map<string, number>();
    let [ended, left] = [0, FRAMES];
    const delay = monitorEventLoopDelay();
    delay.enable();

    const torment = async (victim: Victim, dice: Dice): Promise<void> => {
      for (let round = 0; left > 0; round++) {
        left--;
        const kind = KINDS[(left + round) % KINDS.length] as string;
        const link = await linkOf(broker, victim, dice);
        const publish = outcomeOf(victim.bus.publish('orders.during', round, { timeoutMs: 1_000 }));
        const mutant = MUTANTS[kind]?.(dice, aimAt(dice, link)) as Buffer;
        link.write(mutant);
        sent.set(kind, (sent.get(kind) ?? 0) + 1);
        await until('it has noticed', () => !broker.links.has(link), NOTICED_MS).then(
          () => ended++,
          () => link.reset(),
        );
        try {
          await bounded(publish, 3_000, 'the publish meanwhile');
          await works(victim, `after ${round}`);
        } catch (cause) {
          const [bytes, lines] = [mutant.toString('hex'), victim.lab.lines.slice(-8).join('\n')];
          const where = `${link.name}, round ${round}, the event loop was late by ${Math.round(delay.max / 1e6)} ms at most`;
          throw new Error(`After "${kind}" to ${where} (${bytes}):\n${lines}`, { cause });
        }
      }
    };

    const labs = range(BUSES).map(() => new FakeBrokerLab(broker.url));
    try {
      const victims = await Promise.all(
        labs.map(async (lab): Promise<Victim> => {
          const seen = new Log<unknown>('events');
          // so many handshakes at once take their time on a machine that is busy
          const transport = { type: 'rabbitmq', url: broker.url, heartbeatMs: 2_000, connectTimeoutMs: 10_000 };
          const options = { transport, consume: { retry: false, unmatched: false } } as const;
          return { lab, seen, ...(await lab.boot({ options, providers: [orderListener(seen)] })) };
        }),
      );
      await Promise.all(victims.map((victim, n) => torment(victim, new Dice(SEED + n))));
      for (const { bus, lab } of victims) {
        await until('it is up', () => bus.status === 'up', RECOVERED_MS);
        await until('nothing is pending', () => pendingOf(bus) === 0);
        expect(broker.store.consumersOf(groupOf(lab))).toHaveLength(1);
      }
      expect(Object.keys(Object.prototype)).toEqual([]);
      expect(({} as { readonly polluted?: unknown }).polluted).toBeUndefined();
      expect([...sent.keys()].toSorted()).toEqual(KINDS.toSorted());
      expect([...sent.values()].reduce((sum, count) => sum + count, 0)).toBe(FRAMES);
      // else the mutants were harmless, and this proves nothing
      expect(ended).toBeGreaterThan(FRAMES / 4);
      await Promise.all(labs.map((lab) => lab.dispose()));
      await until('no connection is left', () => broker.links.size === 0);
    } finally {
      await Promise.all(labs.map((lab) => lab.dispose()));
    }
  }),
  120_000 + FRAMES * 100,
);
