import 'reflect-metadata';

/** Where Nest's own parameter decorators write: `@Payload()` and `@Ctx()` are read by these keys, nothing is imported. */
const ROUTE_ARGS_METADATA = '__routeArguments__';
const CUSTOM_ROUTE_ARGS_METADATA = '__customRouteArgs__';

/** The numbers of `@Payload()` and `@Ctx()`. Nest's pipes validate 3 as a body. */
export const PAYLOAD_PARAM = 3;
export const CONTEXT_PARAM = 6;

interface Param {
  readonly index: number;
  readonly data?: unknown;
  readonly pipes?: readonly unknown[];
}

type Params = Readonly<Record<string, Param>>;

/**
 * Describes a handler's parameters under a key of our own: decorated ones as decorated, the others as payload and context
 * in this order, as far as no decorator has asked for them. Without this, pipes would not run on an undecorated payload.
 * Parameter decorators have run by the time a method decorator runs.
 */
export function writeParams(target: object, key: string | symbol, metadataKey: string): void {
  const decorated = (Reflect.getMetadata(ROUTE_ARGS_METADATA, target.constructor, key) ?? {}) as Params;
  const types = (Reflect.getMetadata('design:paramtypes', target, key) ?? []) as readonly unknown[];
  const taken = new Set(Object.values(decorated).map((param) => param.index));
  const params: Record<string, Param> = {};
  const roles = new Set([PAYLOAD_PARAM, CONTEXT_PARAM]);
  for (const [name, param] of Object.entries(decorated)) {
    const isCustom = name.includes(CUSTOM_ROUTE_ARGS_METADATA);
    const type = Number(name.split(':')[0]);
    if (!isCustom && type !== PAYLOAD_PARAM && type !== CONTEXT_PARAM) continue;
    params[name] = param;
    if (!isCustom) roles.delete(type);
  }
  const open = Array.from({ length: Math.max(2, types.length) }, (_, index) => index).filter(
    (index) => !taken.has(index),
  );
  for (const [position, type] of [...roles].entries()) {
    const index = open[position];
    if (index !== undefined) params[`${type}:${index}`] = { index, pipes: [] };
  }
  Reflect.defineMetadata(metadataKey, params, target.constructor, key);
}

/** Whether a parameter has a decorator or a pipe of its own. */
export function hasDecoratedParams(type: object, key: string | symbol): boolean {
  return Object.keys((Reflect.getMetadata(ROUTE_ARGS_METADATA, type, key) ?? {}) as Params).length > 0;
}
