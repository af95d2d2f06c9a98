import { EventBusError } from '../../core/errors.js';
import { describeFilter, type RecordFilter, toPredicate } from './record-filter.js';
import { within } from './stillness.js';
import type { TestLedger } from './test-ledger.js';
import type { MessageRecord, TestRecordKind } from './test-records.js';

export interface RecordWait {
  readonly kind: TestRecordKind;
  readonly count: number;
  readonly timeoutMs: number;
  readonly signals: readonly (AbortSignal | undefined)[];
}

const WORDS: Readonly<Record<TestRecordKind, string>> = {
  published: 'to be published',
  handled: 'to be handled',
  failed: 'to fail',
  dead: 'to be dead-lettered',
};

/**
 * Resolves with the records of a kind that fit, when there are enough of them.
 *
 * @throws EventBusError (`NOT_SEEN`) that lists the topics which were seen; the reason of a signal
 */
export async function waitForRecords<R extends MessageRecord>(
  ledger: TestLedger,
  what: RecordFilter<R> | undefined,
  { kind, count, timeoutMs, signals }: RecordWait,
): Promise<readonly R[]> {
  const fits = toPredicate(what);
  const seen = (ledger.read(kind) as unknown as readonly R[]).filter(fits);
  if (seen.length >= count) return seen;
  const late = (): Error => {
    const times = count === 1 ? '' : ` ${count} times, and saw it ${seen.length} times`;
    return new EventBusError(
      'NOT_SEEN',
      `Waited ${timeoutMs} ms for ${describeFilter(what)} ${WORDS[kind]}${times}. ${ledger.describe()}.`,
    );
  };
  return within<readonly R[]>(timeoutMs, signals, late, (resolve, reject) =>
    ledger.listen((its, record) => {
      if (its !== kind) return;
      try {
        if (fits(record as unknown as R)) seen.push(record as unknown as R);
      } catch (error) {
        reject(error); // of a function of the test's own: nothing to the bus that is telling
      }
      if (seen.length >= count) resolve(seen);
    }),
  );
}
