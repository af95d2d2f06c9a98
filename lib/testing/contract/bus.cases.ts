import { BATCH_CASES } from './bus.batch.cases.js';
import { BROADCAST_CASES } from './bus.broadcast.cases.js';
import { FAILURE_CASES } from './bus.failure.cases.js';
import { GROUP_CASES } from './bus.group.cases.js';
import { IDEMPOTENT_CASES } from './bus.idempotent.cases.js';
import { LIFECYCLE_CASES } from './bus.lifecycle.cases.js';
import { BUS_PUBLISH_CASES } from './bus.publish.cases.js';
import { SUBSCRIBE_CASES } from './bus.subscribe.cases.js';
import { UNROUTABLE_CASES } from './bus.unroutable.cases.js';
import type { ContractCase } from './contract.js';

/** What the bus promises to applications, on whatever transport. */
export const BUS_CASES: readonly ContractCase[] = [
  ...BUS_PUBLISH_CASES,
  ...UNROUTABLE_CASES,
  ...SUBSCRIBE_CASES,
  ...GROUP_CASES,
  ...IDEMPOTENT_CASES,
  ...BATCH_CASES,
  ...BROADCAST_CASES,
  ...FAILURE_CASES,
  ...LIFECYCLE_CASES,
];
