import { describe, expect, it, jest } from '@jest/globals';
import { Injectable } from '@nestjs/common';
import { defineEvent, OnEvent, ValidationError } from '../../lib/index.js';
import { useHarnesses } from '../support/harnesses.js';

class Listener {
  readonly seen: unknown[] = [];

  protected take(payload: unknown): void {
    this.seen.push(payload);
  }
}

describe('the harness waits, with', () => {
  const start = useHarnesses();

  it('a check that takes long, and one that refuses: what a handler publishes without waiting for it is waited for', async () => {
    const validate = async (value: unknown) => {
      await new Promise((resolve) => setTimeout(resolve, 40));
      return value === 0 ? { issues: [{ message: 'nothing' }] } : { value };
    };
    const Checked = defineEvent<unknown>('checked', {
      schema: { '~standard': { version: 1, vendor: 'test', validate } },
    });
    const refusals: unknown[] = [];
    @Injectable()
    class Careless extends Listener {
      @OnEvent('begin')
      begin(): void {
        for (const n of [0, 1]) {
          harness.bus.publish(Checked, n).catch((error: unknown) => refusals.push(error));
        }
      }
      @OnEvent(Checked, { group: 'shop.checked' })
      on(payload: unknown): void {
        this.take(payload);
      }
    }
    const { harness, handler } = await start(Careless);
    await harness.bus.publish('begin', 0);
    await harness.settled();
    expect(handler.seen).toEqual([1]);
    expect(refusals).toEqual([expect.any(ValidationError)]);
  });

  it('no limit of time: waits, instead of giving up at once', async () => {
    @Injectable()
    class Slow extends Listener {
      @OnEvent('slow', { group: 'shop.slow' })
      async on(payload: unknown): Promise<void> {
        await new Promise((resolve) => setTimeout(resolve, 40));
        this.take(payload);
      }
    }
    const { harness, bus } = await start(Slow);
    const timeoutMs = Number.POSITIVE_INFINITY;
    await bus.publish('slow', 1);
    const [handled] = await Promise.all([
      harness.waitFor('slow', { kind: 'handled', timeoutMs }),
      harness.settled({ timeoutMs }),
    ]);
    expect(handled).toHaveLength(1);
  });

  it('faked timers, and a handler that waits for one: it is told in time that this does not settle', async () => {
    @Injectable()
    class Sleepy extends Listener {
      @OnEvent('slow', { group: 'shop.slow' })
      async on(payload: unknown): Promise<void> {
        await new Promise((resolve) => setTimeout(resolve, 60_000));
        this.take(payload);
      }
    }
    const { harness, bus, handler } = await start(Sleepy);
    jest.useFakeTimers({ doNotFake: ['nextTick', 'setImmediate', 'queueMicrotask'] });
    try {
      await bus.publish('slow', 1);
      await expect(harness.settled({ timeoutMs: 50 })).rejects.toThrow('shop.slow (1 running');
      await jest.advanceTimersByTimeAsync(60_000);
      await harness.settled();
      expect(handler.seen).toEqual([1]);
    } finally {
      jest.useRealTimers();
    }
  });
});
