import { BATCH_CASES } from './bus.batch.cases.js';
import { BROADCAST_CASES } from './bus.broadcast.cases.js';
import { CHAIN_CASES } from './bus.chain.cases.js';
import { COMMAND_CASES } from './bus.command.cases.js';
import { COMMAND_MANY_CASES } from './bus.command.many.cases.js';
import { COMMAND_SYSTEM_CASES } from './bus.command.system.cases.js';
import { COMMAND_WAITING_CASES } from './bus.command.waiting.cases.js';
import { CONTROL_CASES } from './bus.control.cases.js';
import { DEPTH_CASES } from './bus.depth.cases.js';
import { EMIT_CASES } from './bus.emit.cases.js';
import { FAILURE_CASES } from './bus.failure.cases.js';
import { GROUP_CASES } from './bus.group.cases.js';
import { IDEMPOTENT_CASES } from './bus.idempotent.cases.js';
import { LIFECYCLE_CASES } from './bus.lifecycle.cases.js';
import { BUS_PUBLISH_CASES } from './bus.publish.cases.js';
import { RECORD_CASES } from './bus.record.cases.js';
import { RENDEZVOUS_CASES } from './bus.rendezvous.cases.js';
import { STREAM_CASES } from './bus.stream.cases.js';
import { STREAM_CHAIN_CASES } from './bus.stream.chain.cases.js';
import { SUBSCRIBE_CASES } from './bus.subscribe.cases.js';
import { UNROUTABLE_CASES } from './bus.unroutable.cases.js';
import type { ContractCase } from './contract.js';

/** What the bus promises to applications, on whatever transport. */
export const BUS_CASES: readonly ContractCase[] = [
  ...BUS_PUBLISH_CASES,
  ...UNROUTABLE_CASES,
  ...SUBSCRIBE_CASES,
  ...RECORD_CASES,
  ...GROUP_CASES,
  ...IDEMPOTENT_CASES,
  ...BATCH_CASES,
  ...BROADCAST_CASES,
  ...CHAIN_CASES,
  ...CONTROL_CASES,
  ...DEPTH_CASES,
  ...EMIT_CASES,
  ...RENDEZVOUS_CASES,
  ...COMMAND_CASES,
  ...COMMAND_SYSTEM_CASES,
  ...COMMAND_WAITING_CASES,
  ...COMMAND_MANY_CASES,
  ...FAILURE_CASES,
  ...STREAM_CASES,
  ...STREAM_CHAIN_CASES,
  ...LIFECYCLE_CASES,
];
