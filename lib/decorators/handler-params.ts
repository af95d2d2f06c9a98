import 'reflect-metadata';

/** Where Nest's own parameter decorators write: `@Payload()` and `@Ctx()` are read by these keys, nothing is imported. */
const ROUTE_ARGS_METADATA = '__routeArguments__';
const CUSTOM_ROUTE_ARGS_METADATA = '__customRouteArgs__';

/** Numbers that Nest's pipes understand: 3 is validated as a body. */
export const PAYLOAD_PARAM = 3;
export const CONTEXT_PARAM = 4;

interface Param {
  readonly index: number;
  readonly data?: unknown;
  readonly pipes?: readonly unknown[];
}

type Params = Readonly<Record<string, Param>>;

/**
 * Describes a handler's parameters under a key of our own: decorated ones as decorated, the first two of the others as
 * payload and context. Without this, pipes would not run on an undecorated payload. Parameter decorators have run by
 * the time a method decorator runs.
 */
export function writeParams(target: object, key: string | symbol, metadataKey: string): void {
  const decorated = (Reflect.getMetadata(ROUTE_ARGS_METADATA, target.constructor, key) ?? {}) as Params;
  const taken = new Set(Object.values(decorated).map((param) => param.index));
  const params: Record<string, Param> = {};
  for (const [name, param] of Object.entries(decorated)) {
    const isCustom = name.includes(CUSTOM_ROUTE_ARGS_METADATA);
    const type = Number(name.split(':')[0]);
    if (isCustom || type === PAYLOAD_PARAM || type === CONTEXT_PARAM) params[name] = param;
  }
  for (const [index, type] of [PAYLOAD_PARAM, CONTEXT_PARAM].entries()) {
    if (!taken.has(index)) params[`${type}:${index}`] = { index, pipes: [] };
  }
  Reflect.defineMetadata(metadataKey, params, target.constructor, key);
}

/** Whether a parameter has a decorator or a pipe of its own. */
export function hasDecoratedParams(type: object, key: string | symbol): boolean {
  return Object.keys((Reflect.getMetadata(ROUTE_ARGS_METADATA, type, key) ?? {}) as Params).length > 0;
}
