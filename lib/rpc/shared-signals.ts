interface Watch {
  readonly hearers: Set<() => void>;
  readonly onAbort: () => void;
}

/**
 * One listener at each signal, however many requests wait with it: Node warns of more than ten, as of a leak, and to add one takes
 * the longer the more there are.
 */
export class SharedSignals {
  private readonly watches = new Map<AbortSignal, Watch>();

  /** @param onAbort called once. Must not throw */
  add(signal: AbortSignal, onAbort: () => void): void {
    (this.watches.get(signal) ?? this.watch(signal)).hearers.add(onAbort);
  }

  remove(signal: AbortSignal, onAbort: () => void): void {
    const watch = this.watches.get(signal);
    if (!watch?.hearers.delete(onAbort) || watch.hearers.size > 0) return;
    this.watches.delete(signal);
    signal.removeEventListener('abort', watch.onAbort);
  }

  private watch(signal: AbortSignal): Watch {
    const hearers = new Set<() => void>();
    const onAbort = (): void => {
      for (const hear of hearers) hear();
      this.watches.delete(signal);
    };
    const watch: Watch = { hearers, onAbort };
    signal.addEventListener('abort', onAbort, { once: true });
    this.watches.set(signal, watch);
    return watch;
  }
}
