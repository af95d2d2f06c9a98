import { setTimeout as pause } from 'node:timers/promises';
import { type EventBusOptions, fixed } from '../../../lib/index.js';
import type { Ledger } from '../harness/ledger.js';
import { RETRY_MS, type WorkerSettings } from './settings.js';

export interface Work {
  readonly id: string;
  readonly n: number;
}

export class FailedOnPurpose extends Error {}

/** What a handler does: works a while, now and then fails, and has it on record before it returns. */
export async function work({ id, n }: Work, attempt: number, settings: WorkerSettings, ledger: Ledger): Promise<void> {
  ledger.write(`b ${id} ${attempt}`);
  if (settings.handlerMs > 0) await pause(settings.handlerMs);
  const { failOneOf = 0 } = settings;
  if (failOneOf > 0 && attempt === 1 && n % failOneOf === 0) {
    ledger.write(`x ${id} ${attempt}`);
    throw new FailedOnPurpose(`${id} fails at its first attempt`);
  }
  ledger.write(`h ${id} ${Date.now()}`);
}

export function consumeOptions({ prefetch, concurrency, attempts = 5 }: WorkerSettings): EventBusOptions['consume'] {
  const retry = fixed({ attempts, delayMs: RETRY_MS });
  return { prefetch, concurrency, maxConcurrency: 1_000, retry };
}

/** A probe is handled like all the rest, and told of at once. */
export function tellProbe(payload: object): void {
  if ('probe' in payload) process.send?.({ kind: 'probed', probe: payload.probe, at: Date.now() });
}
