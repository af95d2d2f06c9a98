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
