import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { type Linked, LinkedList } from '../../../lib/core/linked-list.js';

class Node implements Linked {
  previous: this | undefined;
  next: this | undefined;
  constructor(readonly id: number) {}
}

describe('LinkedList', () => {
  it('holds what an array would hold, whatever is added and removed', () => {
    fc.assert(
      fc.property(fc.array(fc.option(fc.nat(20), { nil: undefined }), { maxLength: 60 }), (steps) => {
        const list = new LinkedList<Node>();
        const model: Node[] = [];
        for (const step of steps) {
          if (step === undefined || model.length === 0) {
            const node = new Node(model.length);
            list.add(node);
            model.push(node);
          } else {
            const [node] = model.splice(step % model.length, 1);
            if (node) list.remove(node);
          }
          expect([...list]).toEqual(model);
          expect(list.size).toBe(model.length);
          expect(list.head).toBe(model[0]);
        }
        expect(list.drain()).toEqual(model);
        expect(list.size).toBe(0);
        expect(list.head).toBeUndefined();
      }),
    );
  });

  it('takes an item in front of another one', () => {
    const [one, two, three] = [new Node(1), new Node(2), new Node(3)];
    const list = new LinkedList<Node>();
    list.add(three);
    list.addBefore(three, one);
    list.addBefore(three, two);
    expect([...list]).toEqual([one, two, three]);
    expect([list.size, list.head, list.tail]).toEqual([3, one, three]);
    list.remove(three);
    expect(list.tail).toBe(two);
  });
});
