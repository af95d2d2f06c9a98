import { DEFAULTS } from '../../lib/core/limits.js';
import { MemoryTransport } from '../../lib/index.js';
import { describeContract } from '../support/contract.suite.js';

const SETTINGS = {
  timeoutMs: DEFAULTS.publishTimeoutMs,
  window: DEFAULTS.publishWindow,
  messages: DEFAULTS.bufferMessages,
  bytes: DEFAULTS.bufferBytes,
  onFull: 'reject',
  retain: 1_000,
} as const;

describeContract('memory', { createTransport: async () => new MemoryTransport(SETTINGS), shared: false, skip: [] }, 23);
