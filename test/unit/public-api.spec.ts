import { expect, it } from '@jest/globals';
import * as api from '../../lib/index.js';
import * as microservices from '../../lib/microservices/index.js';
import * as testing from '../../lib/testing/index.js';

it('the main entry exports exactly these values', () => {
  expect(Object.keys(api).sort()).toEqual([
    'BatchError',
    'BrokerBlockedError',
    'BusClosedError',
    'BytesSerializer',
    'CacheOverflowError',
    'CacheTimeoutError',
    'ChainTooDeepError',
    'CloudEventsSerializer',
    'Command',
    'ConfigurationError',
    'ConnectionError',
    'DeadLetterError',
    'DeadLetterService',
    'DeadLettersBusyError',
    'DecodeError',
    'DirectExchange',
    'EVENT_BUS_CONNECTION',
    'EVENT_BUS_EXCHANGE_HANDLER',
    'EVENT_BUS_OPTIONS',
    'EVENT_BUS_SERIALIZER',
    'EVENT_BUS_TRANSPORT',
    'Event',
    'EventBusError',
    'EventBusModule',
    'EventBusService',
    'EventContextHost',
    'FanoutExchange',
    'HandlerTimeoutError',
    'HeadersExchange',
    'InjectEventBus',
    'JsonSerializer',
    'MemoryInboxStore',
    'MemoryTransport',
    'MessageTooLargeError',
    'MsgpackSerializer',
    'NestEnvelopeSerializer',
    'NoHandlerError',
    'OnCommand',
    'OnEvent',
    'ProtobufSerializer',
    'PublishRejectedError',
    'PublishTimeoutError',
    'RTopicExchange',
    'RemoteError',
    'RendezvousService',
    'RendezvousTimeoutError',
    'RequestCancelledError',
    'RequestTimeoutError',
    'RetryLaterError',
    'SERIALIZER_NAMES',
    'StartupPolicyError',
    'StreamBrokenError',
    'StructuredSerializer',
    'TextSerializer',
    'TopicExchange',
    'TopologyConflictError',
    'UnroutableError',
    'ValidationError',
    'compressed',
    'defineCommand',
    'defineEvent',
    'encrypted',
    'exponential',
    'fixed',
    'fixedDelay',
    'getEventBusToken',
    'handshakeBarrier',
    'loadEventBusConfig',
    'noWait',
    'policyChain',
  ]);
});

it('the testing entry exports exactly these values', () => {
  expect(Object.keys(testing).sort()).toEqual([
    'CONTRACT_CASES',
    'EventBusTestHarness',
    'checkExchangeHandler',
    'eventBusMatchers',
    'planContract',
  ]);
});

it('the entry for microservices exports exactly these values', () => {
  expect(Object.keys(microservices).sort()).toEqual([
    'EVENT_BUS_TRANSPORT_ID',
    'EventBusClient',
    'EventBusContext',
    'EventBusExceptionFilter',
    'EventBusServer',
  ]);
});
