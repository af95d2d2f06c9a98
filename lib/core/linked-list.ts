/** What can stand in one `LinkedList` at a time. */
export interface Linked {
  previous: this | undefined;
  next: this | undefined;
}

/** A list in insertion order that takes out any item at once and allocates nothing: the items are its nodes. */
export class LinkedList<T extends Linked> {
  private first: T | undefined;
  private last: T | undefined;
  private count = 0;

  get size(): number {
    return this.count;
  }

  get head(): T | undefined {
    return this.first;
  }

  get tail(): T | undefined {
    return this.last;
  }

  add(item: T): void {
    this.put(item, this.last, undefined);
  }

  /** Puts it in front of one that is in this list. */
  addBefore(next: T, item: T): void {
    this.put(item, next.previous, next);
  }

  /** Must be called once for each `add`, with an item that is in this list. */
  remove(item: T): void {
    if (item.previous) item.previous.next = item.next;
    else this.first = item.next;
    if (item.next) item.next.previous = item.previous;
    else this.last = item.previous;
    item.previous = undefined;
    item.next = undefined;
    this.count--;
  }

  /** Takes out everything, oldest first. */
  drain(): T[] {
    const all: T[] = [];
    for (let item = this.first; item; item = this.first) {
      this.remove(item);
      all.push(item);
    }
    return all;
  }

  /** Oldest first. Nothing may be removed meanwhile. */
  *[Symbol.iterator](): IterableIterator<T> {
    for (let item = this.first; item; item = item.next) yield item;
  }

  private put(item: T, previous: T | undefined, next: T | undefined): void {
    item.previous = previous;
    item.next = next;
    if (previous) previous.next = item;
    else this.first = item;
    if (next) next.previous = item;
    else this.last = item;
    this.count++;
  }
}
