import { RendezvousTimeoutError } from '../../../lib/core/errors.js';
import type { StartupContext, StartupMember, StartupRendezvous } from '../../../lib/startup/startup-policy.js';
import { RecordingLogger } from './recording.logger.js';

/** What the rendezvous rejects with when roles are missing. */
export function missing(role: string): RendezvousTimeoutError {
  return new RendezvousTimeoutError(`Missing: 1 × ${role}.`, [{ pattern: role, wanted: 1, found: 0 }]);
}

/** Keeps what it is asked, in order, and answers as the test says. */
class FakeRendezvous implements StartupRendezvous {
  readonly calls: unknown[] = [];
  announcing: Promise<void> = Promise.resolve();
  waiting: (signal: AbortSignal | undefined) => Promise<readonly StartupMember[]> = async () => [];

  announceReady(roles: readonly string[]): Promise<void> {
    this.calls.push({ announced: roles });
    return this.announcing;
  }

  waitUntilReady(
    requirements: Readonly<Record<string, number>>,
    { timeoutMs, signal }: { readonly timeoutMs?: number; readonly signal?: AbortSignal } = {},
  ): Promise<readonly StartupMember[]> {
    this.calls.push({ requirements, timeoutMs });
    return this.waiting(signal);
  }

  members(): readonly StartupMember[] {
    return [];
  }
}

export interface FakeContext extends StartupContext {
  readonly rendezvous: FakeRendezvous;
  readonly logger: RecordingLogger;
  readonly abort: AbortController;
}

export function aContext(): FakeContext {
  const abort = new AbortController();
  return {
    bus: 'default',
    service: 'shop',
    rendezvous: new FakeRendezvous(),
    logger: new RecordingLogger(),
    signal: abort.signal,
    abort,
  };
}

/** Never settles but by its signal. */
export function untilAborted(signal: AbortSignal | undefined): Promise<never> {
  return new Promise((_, reject) => {
    signal?.addEventListener('abort', () => reject(signal.reason), { once: true });
  });
}
