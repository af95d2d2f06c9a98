import { ConfigurationError } from '../core/errors.js';
import type { RecordedCache } from './recorded-cache.js';
import type { ResolvedOptions } from './resolved-options.js';
import type { RecordOptions } from './subscription-cache.js';

/** The one cache that the options describe, made when it is needed. */
export class GeneralCache {
  private made: Promise<RecordedCache<unknown>> | undefined;

  constructor(
    private readonly options: ResolvedOptions['cache'],
    private readonly record: (patterns: readonly string[], options: RecordOptions) => Promise<RecordedCache<unknown>>,
  ) {}

  /** With the policy `on-connect`. */
  async connected(): Promise<void> {
    if (this.options?.policy === 'on-connect') await this.get();
  }

  /** The same one each time, until it is closed. After a failure it is tried again. */
  async get(): Promise<RecordedCache<unknown>> {
    const { options } = this;
    if (!options || options.policy === 'off') {
      throw new ConfigurationError(
        `There is no general cache: ${options ? "cache.policy is 'off'" : 'the option cache is not set'}. Set cache: { patterns: ['orders.#'] }, or have a cache of your own with record().`,
      );
    }
    const made = this.made ?? this.make(options);
    const cache = await made;
    if (!cache.isClosed) return cache;
    // somebody has closed it, and is done; others may begin anew
    return this.made === made ? this.make(options) : this.get();
  }

  private make({ patterns, limits }: NonNullable<ResolvedOptions['cache']>): Promise<RecordedCache<unknown>> {
    const made = this.record(patterns, limits);
    this.made = made;
    made.catch(() => {
      if (this.made === made) this.made = undefined;
    });
    return made;
  }
}
