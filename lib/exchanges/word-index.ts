import type { BindingIndex } from '../core/binding-index.js';
import type { BindingRule, Routable } from '../core/exchange.js';
import { words } from './topic-matcher.js';
import { type WordNode, WordTree } from './word-tree.js';

/**
 * Finds the patterns that match a topic. All patterns are followed at once, each branch of the tree at most once per word, so the
 * cost is at most words times branches, and mostly far less.
 */
export class TopicIndex<T> implements BindingIndex<T> {
  private readonly tree = new WordTree<T>();

  add({ pattern = '#' }: BindingRule, value: T): () => void {
    return this.tree.add(words(pattern), value);
  }

  find({ topic }: Routable): readonly T[] {
    let reached = new Set<WordNode<T>>();
    enter(this.tree.root, reached);
    for (const word of words(topic)) {
      const next = new Set<WordNode<T>>();
      for (const node of reached) {
        if (node.word === '#') enter(node, next);
        enter(node.children.get(word), next);
        enter(node.children.get('*'), next);
      }
      reached = next;
    }
    return valuesOf(reached);
  }
}

/** Finds the literal keys that a published pattern reaches. */
export class RTopicIndex<T> implements BindingIndex<T> {
  private readonly tree = new WordTree<T>();

  add({ pattern = '' }: BindingRule, value: T): () => void {
    return this.tree.add(words(pattern), value);
  }

  find({ topic }: Routable): readonly T[] {
    let reached = new Set([this.tree.root]);
    for (const word of words(topic)) {
      const next = new Set<WordNode<T>>();
      for (const node of reached) {
        if (word === '#') enterAll(node, next);
        else if (word === '*') for (const child of node.children.values()) next.add(child);
        else {
          const child = node.children.get(word);
          if (child) next.add(child);
        }
      }
      reached = next;
    }
    return valuesOf(reached);
  }
}

/** Comes to a node, and past any `#` behind it, which may stand for no word. */
function enter<T>(node: WordNode<T> | undefined, reached: Set<WordNode<T>>): void {
  for (let at = node; at && !reached.has(at); at = at.children.get('#')) reached.add(at);
}

/** Comes to a node and all below it. A node that was reached before brought its own along. */
function enterAll<T>(node: WordNode<T>, reached: Set<WordNode<T>>): void {
  const waiting = [node];
  for (let at = waiting.pop(); at; at = waiting.pop()) {
    if (reached.has(at)) continue;
    reached.add(at);
    for (const child of at.children.values()) waiting.push(child);
  }
}

function valuesOf<T>(reached: ReadonlySet<WordNode<T>>): readonly T[] {
  const values: T[] = [];
  for (const node of reached) for (const { value } of node.entries) values.push(value);
  return values;
}
