import { until } from '../../../lib/testing/contract/until.js';

const COUNTED: readonly string[] = ['TCPSocketWrap', 'TCPConnectWrap', 'TLSWrap', 'GetAddrInfoReqWrap', 'Timeout'];

type Handles = Readonly<Record<string, number>>;

/** What keeps this process alive, by kind: sockets and timers. */
export function openHandles(): Handles {
  const counts: Record<string, number> = {};
  for (const kind of process.getActiveResourcesInfo()) {
    if (COUNTED.includes(kind)) counts[kind] = (counts[kind] ?? 0) + 1;
  }
  return counts;
}

/** Waits until no more is open than `before`. @returns what still is when the time is over */
export async function handlesLeft(before: Handles, ms = 1_000): Promise<readonly string[]> {
  const left = (): readonly string[] =>
    Object.entries(openHandles()).flatMap(([kind, count]) => {
      const were = before[kind] ?? 0;
      return count > were ? [`${kind}: ${were} before, ${count} now`] : [];
    });
  await until('what was opened is closed', () => left().length === 0, ms).catch(() => undefined);
  return left();
}
