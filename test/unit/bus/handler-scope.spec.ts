import { setTimeout as pause, setImmediate as turn } from 'node:timers/promises';
import { describe, expect, it } from '@jest/globals';
import { DeliveryContext } from '../../../lib/bus/event-context.js';
import { EventRegistry } from '../../../lib/bus/event-registry.js';
import { HandlerScope } from '../../../lib/bus/handler-scope.js';
import type { Message } from '../../../lib/core/message.js';
import { FakeDelivery } from '../support/fake.delivery.js';

function contextOf(message: Partial<Message>): DeliveryContext {
  return new DeliveryContext(new FakeDelivery({ message }), {
    group: 'mail',
    emit: async () => undefined,
    registry: new EventRegistry(),
  });
}

describe('HandlerScope', () => {
  describe('current', () => {
    it('is the context in what runs for it, and nothing outside', async () => {
      const scope = new HandlerScope();
      const context = contextOf({ id: 'm-1' });
      expect(scope.current).toBeUndefined();
      const seen = await scope.run(context, async () => {
        const first = scope.current;
        await pause(1);
        return [first, scope.current, await new Promise((resolve) => setImmediate(() => resolve(scope.current)))];
      });
      expect(seen).toEqual([context, context, context]);
      expect(scope.current).toBeUndefined();
    });

    it('gives the arguments to what it runs, and its result back', () => {
      const scope = new HandlerScope();
      expect(scope.run(contextOf({}), (a: number, b: string) => `${b}${a}`, 1, 'n')).toBe('n1');
    });

    it('is never that of another one, however many run at a time', async () => {
      const scope = new HandlerScope();
      const work = async (context: DeliveryContext): Promise<boolean> => {
        for (let i = 0; i < 5; i++) {
          await turn();
          if (scope.current !== context) return false;
        }
        return true;
      };
      const contexts = Array.from({ length: 500 }, (_, index) => contextOf({ id: `m-${index}` }));
      const results = await Promise.all(contexts.map((context) => scope.run(context, work, context)));
      expect(results).toEqual(contexts.map(() => true));
    });

    it('is the inner one of two, and then the outer one again', () => {
      const scope = new HandlerScope();
      const [outer, inner] = [contextOf({ id: 'outer' }), contextOf({ id: 'inner' })];
      scope.run(outer, () => {
        scope.run(inner, () => expect(scope.current).toBe(inner));
        expect(scope.current).toBe(outer);
      });
    });

    it('is nothing in what is not tracked, not even that of whoever called it', () => {
      const scope = new HandlerScope();
      const untracked = scope.untracked();
      const [outer, inner] = [contextOf({ id: 'outer' }), contextOf({ id: 'inner' })];
      expect(untracked.run(inner, (n: number) => [scope.current, n], 7)).toEqual([undefined, 7]);
      scope.run(outer, () => {
        expect(untracked.current).toBe(outer);
        expect(untracked.run(inner, () => [scope.current, untracked.current])).toEqual([undefined, undefined]);
      });
    });

    it('is nothing for a batch: it has no single message', () => {
      const scope = new HandlerScope();
      expect(scope.run([contextOf({})], () => scope.current)).toBeUndefined();
    });
  });

  describe('inherit', () => {
    const inherited = (
      of: Partial<Message> | readonly Partial<Message>[],
      options: Parameters<HandlerScope['inherit']>[0] = {},
    ) => {
      const scope = new HandlerScope();
      const contexts = Array.isArray(of) ? of.map(contextOf) : contextOf(of as Partial<Message>);
      return scope.run(contexts, () => scope.inherit(options));
    };

    it('changes nothing outside of handlers', () => {
      const options = { key: 'k' };
      expect(new HandlerScope().inherit(options)).toBe(options);
    });

    it('begins a chain with the id of the message, and goes on with one that was begun', () => {
      expect(inherited({ id: 'm-1' })).toEqual({ correlationId: 'm-1', causationId: 'm-1', depth: 1 });
      expect(inherited({ id: 'm-1', correlationId: 'c-0', depth: 4 }, { key: 'k' })).toEqual({
        key: 'k',
        correlationId: 'c-0',
        causationId: 'm-1',
        depth: 5,
      });
    });

    it('leaves the ids that are given; undefined is none', () => {
      const own = { correlationId: 'mine', causationId: 'own' };
      expect(inherited({ id: 'm-1' }, own)).toEqual({ ...own, depth: 1 });
      expect(inherited({ id: 'm-1' }, { causationId: 'own' })).toMatchObject({
        correlationId: 'm-1',
        causationId: 'own',
      });
      const none = { correlationId: undefined, causationId: undefined } as object;
      expect(inherited({ id: 'm-1' }, none)).toMatchObject({ correlationId: 'm-1', causationId: 'm-1' });
    });

    it('has no ids of a message that has none', () => {
      expect(inherited({ id: '' })).toEqual({ depth: 1 });
      expect(inherited({ id: '', correlationId: 'c-0' })).toEqual({ correlationId: 'c-0', depth: 1 });
    });

    it('takes over from the handler that is named, wherever it is asked', () => {
      const scope = new HandlerScope().untracked();
      const context = contextOf({ id: 'm-1', depth: 2 });
      expect(scope.run(context, () => scope.inherit({}))).toEqual({});
      expect(scope.inherit({ key: 'k' }, context)).toMatchObject({ key: 'k', causationId: 'm-1', depth: 3 });
    });

    it('takes of a batch what all its messages share, and the greatest depth', () => {
      const chain = [
        { id: 'm-1', correlationId: 'c-0', depth: 2 },
        { id: 'm-2', correlationId: 'c-0', depth: 7 },
      ];
      expect(inherited(chain)).toEqual({ correlationId: 'c-0', depth: 8 });
      expect(inherited([...chain, { id: 'm-3' }])).toEqual({ depth: 8 });
      expect(inherited([{ id: 'm-1' }])).toEqual({ correlationId: 'm-1', causationId: 'm-1', depth: 1 });
    });
  });
});
