import 'reflect-metadata';
import { describe, expect, it } from '@jest/globals';
import {
  type ArgumentsHost,
  type CanActivate,
  Catch,
  type ExceptionFilter,
  type ExecutionContext,
  Inject,
  Injectable,
  ParseArrayPipe,
  type PipeTransform,
  Scope,
  UseFilters,
  UseGuards,
  UsePipes,
} from '@nestjs/common';
import { REQUEST } from '@nestjs/core';
import { Ctx, Payload } from '@nestjs/microservices';
import { IsInt } from 'class-validator';
import { BatchError, DeadLetterError, type EventContext, MemoryInboxStore, OnEvent } from '../../lib/index.js';
import { Log } from '../../lib/testing/contract/log.js';
import { until } from '../../lib/testing/contract/until.js';
import { type Lab, type LabApp, withLab } from '../support/lab.js';

const batch = { size: 2, waitMs: 5_000 };

function memory(test: (lab: Lab) => Promise<void>): () => Promise<void> {
  return withLab(undefined, test);
}

async function publish({ bus }: LabApp, ...payloads: readonly unknown[]): Promise<void> {
  await bus.publishAll(payloads.map((payload) => ({ topic: 'clicks', payload })));
}

class ClickDto {
  @IsInt()
  n!: number;
}

describe('a batch handler', () => {
  it(
    'is called with the payloads and the contexts, in whatever order its decorators say',
    memory(async (lab) => {
      const seen = new Log<readonly unknown[]>('batches');
      const topics = (contexts: readonly EventContext[]) => contexts.map(({ topic, attempt }) => `${topic} ${attempt}`);
      @Injectable()
      class ClickListener {
        @OnEvent('clicks', { batch })
        natural(payloads: unknown[], contexts: readonly EventContext[]): void {
          seen.add(['natural', payloads, topics(contexts)]);
        }
        @OnEvent('clicks', { batch })
        swapped(@Ctx() contexts: readonly EventContext[], @Payload() payloads: unknown[]): void {
          seen.add(['swapped', payloads, topics(contexts)]);
        }
        @OnEvent('clicks', { batch })
        half(@Payload() payloads: unknown[], contexts: readonly EventContext[]): void {
          seen.add(['half', payloads, topics(contexts)]);
        }
      }
      @Injectable()
      class FieldListener {
        @OnEvent('clicks', { batch })
        fields(@Payload('n') numbers: readonly number[], @Ctx() contexts: readonly EventContext[]): void {
          seen.add(['fields', numbers, topics(contexts)]);
        }
      }
      await publish(await lab.boot({ providers: [ClickListener, FieldListener] }), { n: 1 }, { n: 2 });
      const byName = Object.fromEntries((await seen.settle(4)).map(([name, ...rest]) => [name, rest]));
      const expected = [
        [{ n: 1 }, { n: 2 }],
        ['clicks 1', 'clicks 1'],
      ];
      expect(byName).toEqual({
        natural: expected,
        swapped: expected,
        half: expected,
        fields: [
          [1, 2],
          ['clicks 1', 'clicks 1'],
        ],
      });
    }),
  );

  it(
    'has its pipes run on the array of payloads, and not on that of contexts',
    memory(async (lab) => {
      const seen = new Log<readonly unknown[]>('batches');
      const piped: unknown[] = [];
      @Injectable()
      class NotingPipe implements PipeTransform {
        transform(value: unknown): unknown {
          piped.push(value);
          return value;
        }
      }
      @Injectable()
      class ClickListener {
        @UsePipes(NotingPipe)
        @OnEvent('clicks', { batch })
        on(
          @Payload(new ParseArrayPipe({ items: ClickDto })) clicks: readonly ClickDto[],
          @Ctx() contexts: readonly EventContext[],
        ): void {
          seen.add([clicks.map((click) => click instanceof ClickDto), clicks.map(({ n }) => n), contexts.length]);
        }
      }
      await publish(await lab.boot({ providers: [ClickListener] }), { n: 1 }, { n: 2 });
      expect(await seen.settle(1)).toEqual([[[true, true], [1, 2], 2]]);
      expect(piped).toEqual([[{ n: 1 }, { n: 2 }]]);
    }),
  );

  it(
    'that a pipe or a guard refuses is refused as a whole',
    memory(async (lab) => {
      const asked: unknown[] = [];
      class Never implements CanActivate {
        canActivate(context: ExecutionContext): boolean {
          const rpc = context.switchToRpc();
          asked.push([rpc.getData(), rpc.getContext<readonly EventContext[]>().length]);
          return false;
        }
      }
      @Injectable()
      class ClickListener {
        @OnEvent('clicks', { batch })
        piped(@Payload(new ParseArrayPipe({ items: ClickDto })) _clicks: readonly ClickDto[]): void {}
        @UseGuards(Never)
        @OnEvent('clicks', { batch })
        guarded(): void {}
      }
      const app = await lab.boot({ providers: [ClickListener] });
      await publish(app, { n: 1 }, { n: 'no number' });
      for (const [method, reason] of [
        ['piped', 'validation'],
        ['guarded', 'forbidden'],
      ] as const) {
        const group = `${lab.service}.ClickListener.${method}`;
        await until(`dead letters of ${group}`, async () => (await app.deadLetters.count(group)) === 2);
        const letters = await app.deadLetters.list(group);
        expect(letters.map((letter) => [letter.reason, letter.attempts])).toEqual([
          [reason, 1],
          [reason, 1],
        ]);
      }
      expect(asked).toEqual([[[{ n: 1 }, { n: 'no number' }], 2]]);
    }),
  );

  it(
    'that is request-scoped has one instance for each batch, and its contexts as REQUEST',
    memory(async (lab) => {
      const seen = new Log<readonly unknown[]>('batches');
      let instances = 0;
      @Injectable({ scope: Scope.REQUEST })
      class ClickListener {
        private readonly instance = ++instances;
        constructor(@Inject(REQUEST) private readonly request: unknown) {}
        @OnEvent('clicks', { batch })
        on(payloads: readonly unknown[], contexts: readonly EventContext[]): void {
          seen.add([this.instance, payloads, this.request === contexts]);
        }
      }
      const app = await lab.boot({ providers: [ClickListener] });
      await publish(app, 1, 2);
      await seen.reach(1);
      await publish(app, 3, 4);
      expect(await seen.settle(2)).toEqual([
        [1, [1, 2], true],
        [2, [3, 4], true],
      ]);
    }),
  );

  it(
    'may leave it to a filter to say which items failed',
    memory(async (lab) => {
      @Catch(RangeError)
      class BlamingFilter implements ExceptionFilter {
        catch(_error: RangeError, host: ArgumentsHost): never {
          const payloads = host.switchToRpc().getData<readonly unknown[]>();
          throw new BatchError([{ index: payloads.indexOf('bad'), error: new DeadLetterError('bad') }]);
        }
      }
      @Injectable()
      class ClickListener {
        @UseFilters(BlamingFilter)
        @OnEvent('clicks', { batch })
        on(): void {
          throw new RangeError('some of them');
        }
      }
      const app = await lab.boot({ providers: [ClickListener] });
      await publish(app, 'good', 'bad');
      const group = `${lab.service}.ClickListener.on`;
      const stats = () => app.bus.stats().groups[group];
      await until('both are settled', () => (stats()?.handled ?? 0) + (stats()?.deadLettered ?? 0) === 2);
      expect(stats()).toMatchObject({ handled: 1, deadLettered: 1 });
      const [letter] = await app.deadLetters.list(group);
      expect(letter).toMatchObject({ payload: 'bad', reason: 'not-retryable' });
    }),
  );

  it(
    'fails the boot with what cannot be, and says where',
    memory(async (lab) => {
      @Injectable()
      class ClickListener {
        @OnEvent('clicks.a', { batch, group: 'clicks' })
        a(): void {}
        @OnEvent('clicks.b', { batch, group: 'clicks' })
        b(): void {}
        @OnEvent('clicks.c', { batch: { size: 0, waitMs: 1 } })
        c(): void {}
      }
      const error = await lab.bootFails({ providers: [ClickListener] });
      expect(error.message).toMatch(/ClickListener\.c .*batch\.size/);
      @Injectable()
      class OtherListener {
        @OnEvent('clicks.a', { batch, group: 'clicks' })
        a(): void {}
        @OnEvent('clicks.b', { batch, group: 'clicks' })
        b(): void {}
        @OnEvent('clicks.d', { idempotent: { windowMs: 5_000 } })
        d(): void {}
        @OnEvent('clicks.e', { idempotent: true, delivery: 'broadcast' })
        e(): void {}
      }
      const { message } = await lab.bootFails({ providers: [OtherListener] });
      expect(message).toMatch(/"clicks": OtherListener\.a .* and OtherListener\.b .* share it/);
      expect(message).toMatch(/OtherListener\.d .*5000.* 600000 ms/);
      expect(message).toMatch(/OtherListener\.e .*idempotent.*broadcast/);
    }),
  );
});

describe('the inbox', () => {
  it(
    'that the options name is asked by the handlers that are idempotent',
    memory(async (lab) => {
      const seen = new Log<unknown>('effects');
      const inbox = new MemoryInboxStore();
      @Injectable()
      class ClickListener {
        @OnEvent('clicks', { idempotent: true })
        once(payload: unknown): void {
          seen.add(payload);
        }
      }
      const app = await lab.boot({ providers: [ClickListener], options: { inbox } });
      const group = `${lab.service}.ClickListener.once`;
      await inbox.done(group, 'known', 60_000);
      for (const id of ['known', 'unknown']) await app.bus.publish('clicks', id, { id });
      await until('the duplicate came', () => app.bus.stats().groups[group]?.duplicates === 1);
      expect(await seen.settle(1)).toEqual(['unknown']);
    }),
  );
});
