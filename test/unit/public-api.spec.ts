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
    'CloudEventsSerializer',
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
    'OnEvent',
    'ProtobufSerializer',
    'PublishRejectedError',
    'PublishTimeoutError',
    'RTopicExchange',
    'RequestTimeoutError',
    'RetryLaterError',
    'SERIALIZER_NAMES',
    'StructuredSerializer',
    'TextSerializer',
    'TopicExchange',
    'TopologyConflictError',
    'UnroutableError',
    'ValidationError',
    'compressed',
    'defineEvent',
    'encrypted',
    'exponential',
    'fixed',
    'getEventBusToken',
    'loadEventBusConfig',
  ]);
});

it('the testing entry exports exactly these values', () => {
  expect(Object.keys(testing).sort()).toEqual(['CONTRACT_CASES', 'checkExchangeHandler', 'planContract']);
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
