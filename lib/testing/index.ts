export {
  CONTRACT_CASES,
  type ContractCase,
  type ContractHarness,
  type ContractLeftovers,
  type ContractLevel,
  type ContractNeed,
  type ContractSkip,
  type PlannedCase,
  planContract,
} from './contract/contract.js';
export { checkExchangeHandler, type ExchangeHandlerSamples } from './exchange-handler.check.js';
export { type EventBusMatchers, eventBusMatchers, type MatchOptions } from './kit/event-bus.matchers.js';
export {
  EventBusTestHarness,
  type SettleOptions,
  type TestHarnessAppOptions,
  type TestHarnessOptions,
  type WaitForOptions,
} from './kit/event-bus.test-harness.js';
export type { PendingDelivery } from './kit/held-delays.js';
export type { RecordFilter } from './kit/record-filter.js';
export type { TestApplication, TestModuleBuilder } from './kit/test-module.js';
export type * from './kit/test-records.js';
