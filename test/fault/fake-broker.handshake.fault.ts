import 'reflect-metadata';
import { describe, expect, it } from '@jest/globals';
import { type Connection, EVENT_BUS_CONNECTION } from '../../lib/index.js';
import { Log } from '../../lib/testing/contract/log.js';
import { bounded, quiet, until } from '../../lib/testing/contract/until.js';
import { runService } from './harness/fake-broker.child.js';
import { Dice } from './harness/fake-broker.dice.js';
import { type FakeLab, orderListener, quickOptions, range, withFakeBroker } from './harness/fake-broker.lab.js';
import type { FakeLink } from './harness/fake-broker.link.js';
import { MUTANTS } from './harness/fake-broker.mutants.js';
import { encodeMethod, type MethodName } from './harness/fake-broker.wire.js';

const SEED = Number(process.env.FAULT_SEED ?? Math.floor(Math.random() * 2 ** 31));
const RECOVERED_MS = 10_000;
/** More than a driver whose timers outlive its connection would need to say so. */
const AFTERMATH_MS = 3_000;

/** Boots with a broker that follows `script` a number of times. @returns what a bus on it comes to */
async function bootWith(
  { lab, broker }: FakeLab,
  on: MethodName,
  times: number,
  script: (link: FakeLink) => void,
): Promise<Readonly<Record<string, unknown>>> {
  let faults = 0;
  broker.on(on, ({ link }) => {
    if (faults === times) return false;
    faults++;
    script(link);
    return true;
  });
  const seen = new Log<unknown>('events');
  const options = quickOptions(broker.url, { startup: { mode: 'background' } });
  const { bus } = await lab.boot({ options, providers: [orderListener(seen)] });
  const publish = bus.publish('orders.created', 1, { timeoutMs: 20_000, unroutable: 'ignore' });
  const { state } = await bounded(publish, RECOVERED_MS, 'the publish');
  await until('it is up', () => bus.status === 'up', RECOVERED_MS);
  await bus.publish('orders.created', 2);
  await until('it is handled', () => seen.items.includes(2));
  return { faults, state };
}

const openOk = encodeMethod('ConnectionOpenOk', 0);
const close = (replyCode: number, replyText: string): Buffer =>
  encodeMethod('ConnectionClose', 0, { replyCode, replyText, classId: 0, methodId: 0 });

describe('bytes that come together with the end of the handshake', () => {
  const fine = { code: 0, steps: ['handled', 'status up', 'closed'], stderr: '', faults: 4 };

  /** In a process of its own: jest would take a crash for a failed test, and what is left of it for one of the next. */
  async function serviceThatMeets(burst: Buffer): Promise<unknown> {
    let outcome: unknown;
    await withFakeBroker(async ({ broker }) => {
      let faults = 0;
      broker.on('ConnectionOpen', ({ link }) => {
        if (faults === fine.faults) return false;
        faults++;
        link.write(Buffer.concat([openOk, burst]));
        return true;
      });
      const { code, steps, stderr } = await runService(broker.url, AFTERMATH_MS, AFTERMATH_MS + 20_000);
      outcome = { code, steps, stderr, faults };
    })();
    return outcome;
  }

  it('an operator who closes the connection (320): the process lives, and the bus connects again', async () => {
    expect(await serviceThatMeets(close(320, 'CONNECTION_FORCED - node in maintenance'))).toEqual(fine);
  });

  // amqplib 2.3 reads on before it hands the connection out, and an error without a listener ends the process
  it.failing('an error that closes the connection (541): the process lives, and the bus connects again', async () => {
    expect(await serviceThatMeets(close(541, 'INTERNAL_ERROR'))).toEqual(fine);
  });

  it(
    'the end of the connection: it connects again',
    withFakeBroker(async (parts) => {
      const endAtOnce = (link: FakeLink): void => {
        link.write(openOk);
        link.endSocket();
      };
      expect(await bootWith(parts, 'ConnectionOpen', 4, endAtOnce)).toEqual({ faults: 4, state: 'confirmed' });
    }),
  );

  // for the same reason
  it.failing(
    'a block of publishers: it is known as blocked',
    withFakeBroker(async ({ lab, broker }) => {
      broker.on('ConnectionOpen', ({ link }) => {
        link.write(Buffer.concat([openOk, encodeMethod('ConnectionBlocked', 0, { reason: 'low on memory' })]));
        return true;
      });
      const options = quickOptions(broker.url, { startup: { mode: 'background' } });
      const { app } = await lab.boot({ options });
      const connection = app.get<Connection>(EVENT_BUS_CONNECTION);
      await until('it is blocked', () => connection.state === 'blocked', 3_000);
      expect(broker.connections).toBe(2);
    }),
  );
});

describe('a confirm for a message that was never sent', () => {
  it.each(['BasicAck', 'BasicNack'] as const)('%s: the process goes on', async (method) => {
    await withFakeBroker(async ({ broker }) => {
      let faults = 0;
      broker.on('BasicPublish', ({ channel, link }) => {
        if (faults === 1) return false;
        faults++;
        // the driver keeps an array from the first to the last that is not confirmed, and walks through it at the end: with
        // the largest tag of all for minutes
        channel.send(method, { deliveryTag: 50_000, multiple: false, requeue: false });
        setImmediate(() => link.endSocket());
        return true;
      });
      const { code, steps, stderr } = await runService(broker.url, 0, 20_000);
      expect({ code, steps, stderr }).toEqual({ code: 0, steps: ['handled', 'status up', 'closed'], stderr: '' });
      expect(faults).toBe(1);
    })();
  });
});

describe('a handshake that is cut', () => {
  const steps = ['ConnectionStartOk', 'ConnectionTuneOk', 'ConnectionOpen', 'ChannelOpen', 'ConfirmSelect'] as const;
  const cuts: readonly (readonly [string, (link: FakeLink) => void])[] = [
    ['by RST', (link) => link.reset()],
    ['by its end', (link) => link.endSocket()],
  ];
  const cases = steps.flatMap((step) => cuts.map(([how, cut]) => [how, step, cut] as const));

  it.each(cases)('%s at %s: it connects again', async (_, step, cut) => {
    await withFakeBroker(async (parts) => {
      expect(await bootWith(parts, step, 2, cut)).toEqual({ faults: 2, state: 'confirmed' });
    })();
  });
});

describe('a handshake of mutants', () => {
  it(
    `is tried again by backoff, and works as soon as the broker does (seed ${SEED})`,
    withFakeBroker(async ({ lab, broker }) => {
      process.stderr.write(`Fuzzing the handshake with FAULT_SEED=${SEED}\n`);
      const dice = new Dice(SEED);
      const kinds = Object.keys(MUTANTS);
      const steps = ['ConnectionStartOk', 'ConnectionTuneOk', 'ConnectionOpen'] as const;
      let [isMad, faults] = [true, 0];
      for (const step of steps) {
        broker.on(step, ({ link }) => {
          if (!isMad || dice.int(3) > 0) return false;
          faults++;
          link.write(MUTANTS[dice.pick(kinds)]?.(dice, { channel: dice.int(2), tags: [] }) as Buffer);
          return dice.int(2) === 0;
        });
      }
      const seconds = 6;
      const options = quickOptions(broker.url, { startup: { mode: 'background' } });
      const apps = await Promise.all(
        range(5).map(() => lab.boot({ options: { ...options, service: `${lab.name}.${dice.int(1e9)}` } })),
      );
      await quiet(seconds * 1_000);
      expect(faults).toBeGreaterThan(10);
      // two connections each, of which one that never works is tried some 5 times in the first 3 s
      expect(broker.connections).toBeLessThan(apps.length * 2 * seconds * 4);
      isMad = false;
      for (const { bus } of apps) {
        await until('it is up', () => bus.status === 'up', RECOVERED_MS);
        const publish = bus.publish('orders.created', 1, { unroutable: 'ignore', timeoutMs: RECOVERED_MS });
        expect(await publish).toMatchObject({ state: 'confirmed' });
      }
    }),
  );
});
