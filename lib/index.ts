export type { EventBusStatus } from './bus/bus-lifecycle.js';
export { Command, type CommandClass, type CommandDefinition, defineCommand } from './bus/command-definition.js';
export {
  type DeadLetter,
  DeadLetterService,
  type ListDeadLettersOptions,
  type ReplayDeadLettersOptions,
} from './bus/dead-letter.service.js';
export type {
  CachePolicy,
  ConsumeGroupOptions,
  EventBusOptions,
  ExchangeOptions,
  ExchangeTypeName,
  TransportOptions,
} from './bus/event-bus.options.js';
export type { EventBusStats, GroupStats } from './bus/event-bus.stats.js';
export type { EventContext } from './bus/event-context.js';
export { defineEvent, type EventClass, type EventDefinition } from './bus/event-definition.js';
export { MemoryInboxStore, type MemoryInboxStoreOptions } from './bus/memory-inbox.store.js';
export type { ObserveOptions } from './bus/observe.js';
export type {
  EventPublishOptions as PublishOptions,
  OutgoingEvent,
  PublishAllResult,
  PublishReceipt,
} from './bus/publish-options.js';
export type { EventMessage, SubscribeHandler, SubscribeOptions } from './bus/subscriber.js';
export type { Subscription } from './bus/subscription.js';
export type {
  CacheEntry,
  CacheLimits,
  CacheOverflow,
  CachePredicate,
  CacheTarget,
  CacheWaitOptions,
  RecordOptions,
  SubscriptionCache,
  WaitForManyMode,
  WaitForManyOptions,
  WaitForManyResult,
  WaitForOneOptions,
} from './bus/subscription-cache.js';
export type { UnroutableMessage } from './bus/unroutable-message.js';
export type { UnroutablePolicy } from './bus/unroutable-policy.js';
export type { BindingIndex } from './core/binding-index.js';
export type { Constructor } from './core/constructor.js';
export type { Delivery, Failure, Settlement } from './core/delivery.js';
export * from './core/errors.js';
export type { Binding, BindingHeaders, BindingRule, Exchange, ExchangeHandler, Routable } from './core/exchange.js';
export type { InboxStore } from './core/inbox.js';
export type { BusLogger } from './core/logger.js';
export type { Headers, HeaderValue, Message } from './core/message.js';
export { exponential, fixed, type RetryPolicy } from './core/retry-policy.js';
export type { StandardSchema } from './core/schema.js';
export type { EncodedBody, MessageHead, Serializer } from './core/serializer.js';
export type * from './core/transport.js';
export type { TransportDefinition, TransportFactory, TransportSettings } from './core/transport-definition.js';
export { Event } from './decorators/event.decorator.js';
export { OnCommand, type OnCommandOptions } from './decorators/on-command.decorator.js';
export { type EventPattern, OnEvent, type OnEventOptions } from './decorators/on-event.decorator.js';
export { type LoadEventBusConfigOptions, loadEventBusConfig } from './event-bus.config.js';
export {
  EVENT_BUS_CONNECTION,
  EVENT_BUS_EXCHANGE_HANDLER,
  EVENT_BUS_OPTIONS,
  EVENT_BUS_SERIALIZER,
  EVENT_BUS_TRANSPORT,
  type EventBusTokenKind,
  getEventBusToken,
} from './event-bus.constants.js';
export type { EventBusModuleOptions } from './event-bus.lifecycle.js';
export {
  EventBusModule,
  type EventBusModuleAsyncOptions,
  type EventBusModuleExtras,
  type EventBusOptionsFactory,
} from './event-bus.module.js';
export { EventBusService } from './event-bus.service.js';
export { EventContextHost } from './event-context.host.js';
export { DirectExchange } from './exchanges/direct.exchange.js';
export { FanoutExchange } from './exchanges/fanout.exchange.js';
export { HeadersExchange } from './exchanges/headers.exchange.js';
export { RTopicExchange } from './exchanges/rtopic.exchange.js';
export { TopicExchange } from './exchanges/topic.exchange.js';
export { InjectEventBus } from './inject-event-bus.decorator.js';
export type { Member, MembershipChange } from './rendezvous/member.js';
export { RendezvousService, type WaitUntilReadyOptions } from './rendezvous/rendezvous.service.js';
export type {
  OutgoingCommand,
  RequestAllOptions,
  RequestOptions,
  RequestStreamOptions,
  SendOptions,
} from './rpc/command-options.js';
export type { ReplyStream } from './rpc/reply-reader.js';
export { BytesSerializer } from './serializers/bytes.serializer.js';
export type { CloudEventAttributes, CloudEventValue } from './serializers/cloud-event.attributes.js';
export {
  CloudEventsSerializer,
  type CloudEventsSerializerOptions,
  type ReceivedCloudEvent,
} from './serializers/cloud-events.serializer.js';
export { type CompressionOptions, compressed } from './serializers/compressed.serializer.js';
export { encrypted } from './serializers/encrypted.serializer.js';
export type { EncryptionKey, EncryptionOptions } from './serializers/encryption-keys.js';
export { JsonSerializer } from './serializers/json.serializer.js';
export { MsgpackSerializer } from './serializers/msgpack.serializer.js';
export { NestEnvelopeSerializer, type NestEnvelopeSerializerOptions } from './serializers/nest-envelope.serializer.js';
export type { Int64Form } from './serializers/protobuf.int64.js';
export { type ProtobufOptions, ProtobufSerializer } from './serializers/protobuf.serializer.js';
export { SERIALIZER_NAMES, type SerializerName } from './serializers/serializer.factory.js';
export { StructuredSerializer } from './serializers/structured.serializer.js';
export { TextSerializer } from './serializers/text.serializer.js';
export { fixedDelay } from './startup/fixed-delay.policy.js';
export { handshakeBarrier } from './startup/handshake-barrier.policy.js';
export { noWait } from './startup/no-wait.policy.js';
export { policyChain } from './startup/policy-chain.js';
export type * from './startup/startup-policy.js';
export type { MemoryTransportOptions } from './transports/memory/memory.options.js';
export { MemoryTransport } from './transports/memory/memory.transport.js';
export type { RabbitMqRaw } from './transports/rabbitmq/rabbitmq.connection.js';
export type { RabbitMqTransportOptions } from './transports/rabbitmq/rabbitmq.options.js';
