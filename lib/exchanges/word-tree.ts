/** One word after those of the nodes above it; wildcards are words. */
export interface WordNode<T> {
  readonly word: string;
  readonly children: Map<string, WordNode<T>>;
  /** What was added under exactly these words. */
  readonly entries: Set<{ readonly value: T }>;
}

/** Values under sequences of words. Branches without any are removed, so that endless new words cost no memory. */
export class WordTree<T> {
  readonly root: WordNode<T> = createNode('');

  /** @returns takes it away again */
  add(words: readonly string[], value: T): () => void {
    const path = [this.root];
    let node = this.root;
    for (const word of words) {
      let child = node.children.get(word);
      if (!child) {
        child = createNode(word);
        node.children.set(word, child);
      }
      path.push(child);
      node = child;
    }
    const entry = { value };
    node.entries.add(entry);
    return () => {
      if (node.entries.delete(entry)) prune(path);
    };
  }
}

function createNode<T>(word: string): WordNode<T> {
  return { word, children: new Map(), entries: new Set() };
}

/** A node that stays in use stays the same, so those above it in another path still lead to it. */
function prune<T>(path: readonly WordNode<T>[]): void {
  for (let depth = path.length - 1; depth > 0; depth--) {
    const node = path[depth];
    if (!node || node.entries.size > 0 || node.children.size > 0) return;
    path[depth - 1]?.children.delete(node.word);
  }
}
