import { describe, expect, it } from '@jest/globals';
import { ForbiddenException } from '@nestjs/common';
import type { MessageHandler } from '@nestjs/microservices';
import { EMPTY, of, throwError } from 'rxjs';
import type { EventBusContext } from '../../../lib/microservices/event-bus.context.js';
import { handleEvent } from '../../../lib/microservices/event-handler.js';

const CONTEXT = {} as EventBusContext;
const run = (...results: readonly (() => unknown)[]): Promise<void> =>
  handleEvent(
    results.map((result) => (async () => result()) as MessageHandler),
    {},
    CONTEXT,
  );
const fails = (error: unknown) => () => {
  throw error;
};

describe('the methods of one event', () => {
  it('succeed with whatever they give', async () => {
    const all = run(
      () => 1,
      () => undefined,
      () => of(1, 2),
      () => EMPTY,
    );
    expect(await all).toBeUndefined();
  });

  it('fail with what one of them throws, or its Observable', async () => {
    await expect(run(fails(new Error('thrown')))).rejects.toThrow('thrown');
    await expect(run(() => throwError(() => 'streamed'))).rejects.toThrow('streamed');
  });

  it('all end before it fails, and what can be retried counts more than what is final', async () => {
    let isDone = false;
    const slow = async () => {
      await new Promise((resolve) => setTimeout(resolve, 20));
      isDone = true;
    };
    await expect(run(fails(new ForbiddenException()), slow, fails(new Error('again')))).rejects.toThrow('again');
    expect(isDone).toBe(true);
    await expect(run(fails(new ForbiddenException()), slow)).rejects.toThrow(ForbiddenException);
  });
});
