/** Metadata of `@OnEvent` on a method: an array, because the decorator can be repeated. */
export const ON_EVENT_METADATA = 'nestjs-event-bus:on-event';

/** Metadata of a handler's parameters, apart from those of HTTP and microservice decorators on the same method. */
export const PARAMS_METADATA = 'nestjs-event-bus:params';
