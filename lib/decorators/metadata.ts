/** Metadata of `@OnEvent` and `@OnCommand` on a method: an array, because they can be repeated. */
export const HANDLER_METADATA = 'nestjs-event-bus:handler';

/** Metadata of a handler's parameters, apart from those of HTTP and microservice decorators on the same method. */
export const PARAMS_METADATA = 'nestjs-event-bus:params';
