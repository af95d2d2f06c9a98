import { isDeepStrictEqual } from 'node:util';
import { ConfigurationError } from '../core/errors.js';
import type { KeptEntry } from './entry-queue.js';
import { EventRegistry } from './event-registry.js';
import { comparableTarget } from './payload-match.js';
import type { CachePredicate, CacheTarget, WaitForManyMode } from './subscription-cache.js';

/** What a wait is looking for, and what it has found. It is shown each entry, mostly in the order of their arrival. */
export interface CacheSearch<T> {
  readonly isComplete: boolean;
  /** Whether the entry is wanted; if so, it is found. Throws what a predicate throws. */
  wants(kept: KeptEntry<T>): boolean;
}

/** Fields of a target that are looked at before all of it is. */
const LOOKED_AT = 8;

type Test<T> = (kept: KeptEntry<T>) => boolean;

/** The first entry of all, or the first that fits. */
export class FirstSearch<T> implements CacheSearch<T> {
  private found: KeptEntry<T> | undefined;

  constructor(private readonly test?: Test<T>) {}

  get isComplete(): boolean {
    return this.found !== undefined;
  }

  get entry(): KeptEntry<T>['entry'] {
    if (this.found === undefined) throw new TypeError('Nothing was found.');
    return this.found.entry;
  }

  wants(kept: KeptEntry<T>): boolean {
    if (this.test && !this.test(kept)) return false;
    this.found = kept;
    return true;
  }
}

/** Entries for several targets. */
export class ManySearch<T> implements CacheSearch<T> {
  private readonly matches: { readonly index: number; readonly kept: KeptEntry<T> }[] = [];
  private readonly isFound: boolean[];
  /** The first target that was not found. */
  private next = 0;
  /** Of the latest match in order. */
  private order = -1;

  constructor(
    private readonly tests: readonly Test<T>[],
    private readonly mode: WaitForManyMode,
  ) {
    this.isFound = tests.map(() => false);
  }

  get isComplete(): boolean {
    return this.matches.length >= (this.mode === 'any' ? Math.min(1, this.tests.length) : this.tests.length);
  }

  /** Which targets were found by which entries, in the order of arrival. */
  get found(): readonly { readonly index: number; readonly kept: KeptEntry<T> }[] {
    return this.matches.toSorted((a, b) => a.kept.order - b.kept.order);
  }

  wants(kept: KeptEntry<T>): boolean {
    const index = this.mode === 'all-in-order' ? this.inOrder(kept) : this.inAnyOrder(kept);
    if (index < 0) return false;
    this.matches.push({ index, kept });
    this.isFound[index] = true;
    this.order = kept.order;
    while (this.isFound[this.next]) this.next++;
    return true;
  }

  private inOrder(kept: KeptEntry<T>): number {
    // one that comes back from another wait may be older
    return kept.order > this.order && this.tests[this.next]?.(kept) ? this.next : -1;
  }

  private inAnyOrder(kept: KeptEntry<T>): number {
    for (let index = this.next; index < this.tests.length; index++) {
      if (!this.isFound[index] && this.tests[index]?.(kept)) return index;
    }
    return -1;
  }
}

/**
 * An object of an `@Event` class stands for that event: topic and payload. Anything else stands for a payload.
 *
 * @throws ConfigurationError for a target that cannot be compared
 */
export function testOf<T>(target: CacheTarget<T>, at: string): Test<T> {
  if (typeof target === 'function') return predicateTest(target as CachePredicate<T>, at);
  const isEqual = payloadTest<T>(target, at);
  const topic = new EventRegistry().findByClass(target)?.topic;
  return topic === undefined ? isEqual : (kept) => kept.entry.topic === topic && isEqual(kept);
}

function payloadTest<T>(target: unknown, at: string): Test<T> {
  const wanted = comparableTarget(target, at);
  // what is no object is compared much faster
  if (typeof wanted !== 'object' || wanted === null) return (kept) => Object.is(kept.comparable, wanted);
  const known = fieldsOf(wanted);
  return ({ comparable }) =>
    typeof comparable === 'object' &&
    comparable !== null &&
    hasAll(comparable, known) &&
    isDeepStrictEqual(comparable, wanted);
}

/** Some of what is no object; of bytes nothing. */
function fieldsOf(wanted: object): readonly (readonly [string, unknown])[] {
  if (ArrayBuffer.isView(wanted)) return [];
  return Object.entries(wanted)
    .filter(([, value]) => typeof value !== 'object')
    .slice(0, LOOKED_AT);
}

/** Tells most of what is different at once: targets times entries are many. */
function hasAll(candidate: object, known: readonly (readonly [string, unknown])[]): boolean {
  for (const [name, value] of known) if ((candidate as Record<string, unknown>)[name] !== value) return false;
  return true;
}

export function predicateTest<T>(predicate: CachePredicate<T>, at: string): Test<T> {
  if (typeof predicate !== 'function')
    throw new ConfigurationError(`${at} must be a function, not a ${typeof predicate}.`);
  return ({ entry }) => {
    const answer: unknown = predicate(entry);
    if (typeof answer !== 'object' || !isThenable(answer)) return Boolean(answer);
    // a promise would be taken for true
    Promise.resolve(answer).catch(() => undefined);
    throw new ConfigurationError(`${at} must answer true or false at once: it must not be asynchronous.`);
  };
}

function isThenable(answer: object | null): boolean {
  return typeof (answer as { readonly then?: unknown } | null)?.then === 'function';
}
