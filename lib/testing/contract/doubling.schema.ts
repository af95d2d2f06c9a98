import type { StandardSchema } from '../../core/schema.js';

/** Doubles `n`, and refuses what is no number. */
export const DOUBLING: StandardSchema<{ n: number }> = {
  '~standard': {
    version: 1,
    vendor: 'contract',
    validate: (value) => {
      const { n } = (value ?? {}) as { n?: unknown };
      if (typeof n !== 'number') return { issues: [{ message: 'must be a number', path: ['n'] }] };
      return { value: { n: 2 * n } };
    },
  },
};
