import type { ContractCase } from './contract.js';
import { CLOSE_CASES } from './transport.close.cases.js';
import { CONSUMER_CASES } from './transport.consumer.cases.js';
import { DEAD_LETTER_CASES } from './transport.dead-letter.cases.js';
import { DELIVERY_CASES } from './transport.delivery.cases.js';
import { DEPLOY_CASES } from './transport.deploy.cases.js';
import { PUBLISH_CASES } from './transport.publish.cases.js';
import { REPLAY_CASES } from './transport.replay.cases.js';
import { ROUTING_CASES } from './transport.routing.cases.js';
import { SETTLEMENT_CASES } from './transport.settlement.cases.js';

/** What a transport promises to the bus. */
export const TRANSPORT_CASES: readonly ContractCase[] = [
  ...DELIVERY_CASES,
  ...ROUTING_CASES,
  ...PUBLISH_CASES,
  ...SETTLEMENT_CASES,
  ...DEAD_LETTER_CASES,
  ...REPLAY_CASES,
  ...CONSUMER_CASES,
  ...DEPLOY_CASES,
  ...CLOSE_CASES,
];
