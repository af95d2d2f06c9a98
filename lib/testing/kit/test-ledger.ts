import type { TestRecordKind, TestRecords } from './test-records.js';

type Lists = { -readonly [K in TestRecordKind]: TestRecords[K][] };
type Listener = (kind: TestRecordKind, record: TestRecords[TestRecordKind]) => void;

/** What has happened on one bus, in order. */
export class TestLedger {
  private lists = emptyLists();
  private readonly listeners = new Set<Listener>();

  add<K extends TestRecordKind>(kind: K, record: TestRecords[K]): void {
    const list: TestRecords[K][] = this.lists[kind];
    list.push(record);
    for (const listener of this.listeners) listener(kind, record);
  }

  read<K extends TestRecordKind>(kind: K): readonly TestRecords[K][] {
    return this.lists[kind];
  }

  /** @returns the way to stop */
  listen(listener: Listener): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  reset(): void {
    this.lists = emptyLists();
  }

  /** Which topics were seen how often: never a payload. */
  describe(): string {
    return (['published', 'handled', 'failed', 'dead'] as const)
      .map((kind) => `${LABELS[kind]}: ${topicsOf(this.lists[kind])}`)
      .join('; ');
  }
}

const LABELS: Readonly<Record<TestRecordKind, string>> = {
  published: 'Published',
  handled: 'handled',
  failed: 'failed',
  dead: 'dead-lettered',
};

/** `orders.placed ×2, stock.reserved`, or `nothing`. */
export function topicsOf(records: readonly { readonly topic: string }[]): string {
  const counts = new Map<string, number>();
  for (const { topic } of records) counts.set(topic, (counts.get(topic) ?? 0) + 1);
  if (counts.size === 0) return 'nothing';
  return [...counts].map(([topic, count]) => (count === 1 ? topic : `${topic} ×${count}`)).join(', ');
}

function emptyLists(): Lists {
  return { published: [], handled: [], failed: [], dead: [] };
}
