import assert from 'node:assert/strict';
import {
  type ArgumentMetadata,
  BadRequestException,
  Injectable,
  InternalServerErrorException,
  type PipeTransform,
  type Type,
  UnprocessableEntityException,
  UsePipes,
} from '@nestjs/common';
import type { EventContext } from '../../bus/event-context.js';
import { ValidationError } from '../../core/errors.js';
import { Event } from '../../decorators/event.decorator.js';
import { OnEvent } from '../../decorators/on-event.decorator.js';
import type { ContractCase } from './contract.js';
import { outcomeCase } from './contract-case.js';
import { DOUBLING } from './doubling.schema.js';
import { Log } from './log.js';
import { createMessage } from './message.factory.js';
import { assertAcked, assertDead, EXHAUSTED } from './outcome.js';

const INVALID = Object.freeze({ reason: 'validation', attempts: 1 });

/** The payload of these cases. */
class OrderDto {
  id = '';
}

/** Refuses what has no id, as a ValidationPipe does, and gives the handler an object of the class. */
@Injectable()
class OrderPipe implements PipeTransform {
  transform(value: unknown, { metatype, type }: ArgumentMetadata): unknown {
    assert.equal(metatype, OrderDto, 'a pipe is told the class of the payload');
    assert.equal(type, 'body');
    const { id } = value as Partial<OrderDto>;
    if (typeof id !== 'string') throw new BadRequestException(['id must be a string']);
    return Object.assign(new OrderDto(), { id });
  }
}

function throwing(error: Error): Type {
  @Injectable()
  class OrderListener {
    @OnEvent('order')
    on(): void {
      throw error;
    }
  }
  return OrderListener;
}

/** What cannot be right is not tried again. */
export const INPUT_CASES: readonly ContractCase[] = [
  outcomeCase('a pipe refuses the undecorated payload: dead as validation after one attempt', async (bench) => {
    const calls: unknown[] = [];
    @Injectable()
    @UsePipes(OrderPipe)
    class OrderListener {
      @OnEvent('order')
      on(order: OrderDto, context: EventContext): void {
        calls.push([order instanceof OrderDto, order.id, context.topic]);
      }
    }
    const bad = { options: { service: `${bench.name}.bad` } };
    const letter = await assertDead(bench, OrderListener, INVALID, bad, { id: 7 });
    assert.deepEqual(letter.payload, { id: 7 });
    assert.deepEqual(calls, []);
    await assertAcked(bench, OrderListener, { options: { service: `${bench.name}.good` } }, { id: '7' });
    assert.deepEqual(calls, [[true, '7', 'order']]);
  }),

  outcomeCase(
    'a handler throws BadRequest or UnprocessableEntity: dead as validation; a server error is retried',
    async (bench) => {
      const options = (service: string) => ({ options: { service: `${bench.name}.${service}` } });
      await assertDead(bench, throwing(new BadRequestException('no')), INVALID, options('400'));
      await assertDead(bench, throwing(new UnprocessableEntityException('no')), INVALID, options('422'));
      await assertDead(bench, throwing(new ValidationError('no')), INVALID, options('own'));
      await assertDead(bench, throwing(new InternalServerErrorException('no')), EXHAUSTED, options('500'));
    },
  ),

  outcomeCase(
    "a subscription's schema refuses: dead as validation; else the handler gets its output",
    async (bench) => {
      const seen: unknown[] = [];
      @Injectable()
      class OrderListener {
        @OnEvent('order', { schema: DOUBLING })
        on(payload: unknown): void {
          seen.push(payload);
        }
      }
      const bad = { options: { service: `${bench.name}.bad` } };
      const letter = await assertDead(bench, OrderListener, { ...INVALID, error: /n: must be a number/ }, bad, {
        n: 'x',
      });
      assert.equal(letter.error?.name, 'ValidationError');
      await assertAcked(bench, OrderListener, { options: { service: `${bench.name}.good` } }, { n: 21 });
      assert.deepEqual(seen, [{ n: 42 }]);
    },
  ),

  outcomeCase('the schema of an event refuses at the publisher, and from elsewhere at the handler', async (bench) => {
    @Event('order', { schema: DOUBLING })
    class Order {
      constructor(readonly n: unknown) {}
    }
    const calls: unknown[] = [];
    @Injectable()
    class OrderListener {
      @OnEvent(Order)
      on(payload: unknown): void {
        calls.push(payload);
      }
    }
    const { bus, buried, groupOf } = await bench.start({ providers: [OrderListener] });
    await assert.rejects(bus.publish(new Order('x')), ValidationError);
    await bus.publish('order', { n: 'x' });
    const [letter] = await buried(groupOf(OrderListener, 'on'));
    assert.equal(letter?.reason, 'validation');
    assert.deepEqual(calls, []);
  }),

  outcomeCase(
    'C6 what cannot be decoded is dead after one attempt, kept byte for byte, and stops nobody',
    async (bench) => {
      const seen = new Log<unknown>('events');
      @Injectable()
      class OrderListener {
        @OnEvent('order')
        on(payload: unknown): void {
          seen.add(payload);
        }
      }
      const { bus, transport, deadLetters, buried, statsOf, groupOf } = await bench.start({
        providers: [OrderListener],
        options: { publish: { maxMessageBytes: 1_000 } },
      });
      const json = 'application/json';
      const bodies = [
        { contentType: json, body: Buffer.from('{"id":') },
        { contentType: json, body: Buffer.alloc(0) },
        { contentType: json, body: Buffer.from([0x22, 0xff, 0xfe, 0x22]) },
        { contentType: json, body: Buffer.from(`"${'x'.repeat(2_000)}"`) },
        { contentType: 'application/x-unheard-of', body: Buffer.from('{}') },
      ];
      const group = groupOf(OrderListener, 'on');
      for (const [index, raw] of bodies.entries()) {
        await bench.publish(transport, createMessage('order', raw));
        const [letter] = await buried(group);
        assert.deepEqual([letter?.reason, letter?.attempts], ['undecodable', 1], `body ${index}`);
        assert.equal(letter && Buffer.compare(letter.body, raw.body), 0, `body ${index}`);
        await deadLetters.purge(group);
      }
      await bench.publish(
        transport,
        createMessage('order', { contentType: `${json}; charset=utf-8`, body: Buffer.from('1') }),
      );
      await bus.publish('order', 2);
      assert.deepEqual(await seen.settle(2), [1, 2]);
      assert.equal(statsOf(group).retried, 0);
    },
  ),
];
