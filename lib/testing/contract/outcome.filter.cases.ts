import assert from 'node:assert/strict';
import {
  type ArgumentsHost,
  Catch,
  Controller,
  type ExceptionFilter,
  Injectable,
  type Type,
  UseFilters,
} from '@nestjs/common';
import { of } from 'rxjs';
import type { EventContext } from '../../bus/event-context.js';
import { DeadLetterError, RetryLaterError } from '../../core/errors.js';
import { OnEvent } from '../../decorators/on-event.decorator.js';
import type { ContractCase } from './contract.js';
import { outcomeCase } from './contract-case.js';
import { Log } from './log.js';
import { assertAcked, assertDead, EXHAUSTED } from './outcome.js';

const ORIGINAL = Object.freeze({ ...EXHAUSTED, error: /^original$/ });

type Answer = (error: unknown, host: ArgumentsHost) => unknown;

/** A provider whose handler always fails, behind a filter that answers. */
function filtered(answer: Answer): Type {
  @Catch()
  class CaseFilter implements ExceptionFilter {
    catch(error: unknown, host: ArgumentsHost): unknown {
      return answer(error, host);
    }
  }
  @Injectable()
  class OrderListener {
    @UseFilters(CaseFilter)
    @OnEvent('order')
    on(): void {
      throw new RangeError('original');
    }
  }
  return OrderListener;
}

function rethrow(error: unknown): never {
  throw error;
}

/** What a filter decides. */
export const FILTER_CASES: readonly ContractCase[] = [
  outcomeCase('a filter that gives a value, at once, as a promise or in a stream: acknowledged', async (bench) => {
    const answers: readonly Answer[] = [() => 'handled', async () => 'handled', () => of('handled'), () => false];
    for (const [index, answer] of answers.entries()) {
      await assertAcked(bench, filtered(answer), { options: { service: `${bench.name}.${index}` } });
    }
  }),

  outcomeCase('a filter that gives undefined leaves the original error to the retry policy', (bench) =>
    assertDead(
      bench,
      filtered(() => undefined),
      ORIGINAL,
    ).then(() => undefined),
  ),

  outcomeCase('an async filter that gives undefined leaves the original error to the retry policy', (bench) =>
    assertDead(
      bench,
      filtered(async () => undefined),
      ORIGINAL,
    ).then(() => undefined),
  ),

  outcomeCase(
    'a filter that rethrows, or throws something else, leaves the original error to the policy',
    async (bench) => {
      const answers: readonly Answer[] = [
        rethrow,
        () => rethrow(new Error('other')),
        () => Promise.reject(new Error('other')),
      ];
      for (const [index, answer] of answers.entries()) {
        await assertDead(bench, filtered(answer), ORIGINAL, { options: { service: `${bench.name}.${index}` } });
      }
    },
  ),

  outcomeCase('a filter may throw DeadLetterError or RetryLaterError', async (bench) => {
    const expected = { reason: 'not-retryable', attempts: 1, error: /^never$/ };
    const options = (service: string) => ({ options: { service: `${bench.name}.${service}` } });
    await assertDead(
      bench,
      filtered(() => rethrow(new DeadLetterError('never'))),
      expected,
      options('dead'),
    );
    const attempts = new Log<number>('attempts');
    const later = filtered((_error, host) => {
      attempts.add(host.switchToRpc().getContext<EventContext>().attempt);
      return attempts.length === 1 ? rethrow(new RetryLaterError(20)) : 'handled';
    });
    const { bus } = await bench.start({ providers: [later], ...options('later') });
    await bus.publish('order', 1);
    assert.deepEqual(await attempts.settle(2), [1, 1]);
  }),

  outcomeCase('a filter is told the error, the payload and the context, as of rpc', async (bench) => {
    const seen: unknown[] = [];
    const OrderListener = filtered((error, host) => {
      const rpc = host.switchToRpc();
      const { topic, attempt } = rpc.getContext<EventContext>();
      seen.push([(error as Error).name, host.getType(), rpc.getData(), topic, attempt]);
      return 'handled';
    });
    await assertAcked(bench, OrderListener, {}, 'payload');
    assert.deepEqual(seen, [['RangeError', 'rpc', 'payload', 'order', 1]]);
  }),

  outcomeCase('a class filter of a controller gets the errors that it catches, and no others', async (bench) => {
    @Catch(RangeError)
    class RangeFilter implements ExceptionFilter {
      catch(): string {
        return 'handled';
      }
    }
    @Controller()
    @UseFilters(RangeFilter)
    class OrderController {
      @OnEvent('order')
      on(payload: unknown): void {
        throw payload === 'range' ? new RangeError('original') : new TypeError('original');
      }
    }
    const parts = (service: string) => ({
      controllers: [OrderController],
      options: { service: `${bench.name}.${service}` },
    });
    await assertAcked(bench, OrderController, parts('range'), 'range');
    await assertDead(bench, OrderController, ORIGINAL, parts('type'), 'type');
  }),
];
