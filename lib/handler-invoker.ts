import 'reflect-metadata';
import { Injectable } from '@nestjs/common';
import { ApplicationConfig, type ContextId, ContextIdFactory, ExternalContextCreator, ModuleRef } from '@nestjs/core';
import { catchError, isObservable, lastValueFrom, map } from 'rxjs';
import { DeliveryContext } from './bus/event-context.js';
import type { Handler } from './bus/handler.js';
import { type HandlerValues, isAsyncIterable, isHandlerValues } from './bus/handler-values.js';
import { BatchError, ChainTooDeepError, ConfigurationError, DeadLetterError, RetryLaterError } from './core/errors.js';
import { CONTEXT_PARAM, hasDecoratedParams, PAYLOAD_PARAM } from './decorators/handler-params.js';
import { PARAMS_METADATA } from './decorators/metadata.js';
import { EventArgumentsHost } from './event-arguments-host.js';

/** What of Nest's description of a provider or controller is used. */
export interface InstanceWrapper {
  readonly id: string;
  readonly token: unknown;
  readonly instance: unknown;
  readonly isAlias: boolean;
  readonly isTransient: boolean;
  readonly host?: {
    readonly token: string;
    readonly metatype?: { readonly name: string };
    readonly providers: ReadonlyMap<unknown, { readonly instance: unknown }>;
  };
  isDependencyTreeStatic(): boolean;
  isDependencyTreeDurable(): boolean;
}

type Invoke = Handler['invoke'];
type Method = (...args: unknown[]) => unknown;
type Enhanced = (...args: unknown[]) => Promise<unknown>;

type Intercept = (
  interceptors: readonly unknown[] | undefined,
  args: readonly unknown[],
  instance: object,
  callback: Method,
  next: () => Promise<unknown>,
  type: string,
) => Promise<unknown>;

interface ExceptionsHandler {
  invokeCustomFilters(error: unknown, host: EventArgumentsHost): unknown;
}

/** The seams of ExternalContextCreator that Nest keeps private; `assertSeams` says at start-up if a release moved them. */
interface ContextCreatorSeams {
  getContextModuleKey(type: unknown): string;
  getParamValue(value: unknown, ...rest: unknown[]): Promise<unknown>;
  transformToResult(result: unknown): Promise<unknown>;
  readonly interceptorsConsumer: { intercept: Intercept };
  readonly filtersContextCreator: {
    create(
      instance: object,
      callback: Method,
      moduleKey: string,
      contextId?: ContextId,
      inquirerId?: string,
    ): ExceptionsHandler;
  };
}

/** Set by `@UsePipes`, `@UseGuards`, `@UseInterceptors` and `@UseFilters` on classes and methods. */
const ENHANCER_METADATA = ['__pipes__', '__guards__', '__interceptors__', '__exceptionFilters__'];

const PARAMS_FACTORY = {
  exchangeKeyForValue(type: number, data: unknown, args: readonly unknown[]): unknown {
    const value = type === PAYLOAD_PARAM ? args[0] : type === CONTEXT_PARAM ? args[1] : undefined;
    if (typeof data !== 'string') return value;
    // of a batch, the field of each
    return Array.isArray(value) && Array.isArray(args[1])
      ? value.map((one) => fieldOf(one, data))
      : fieldOf(value, data);
  },
};

function fieldOf(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>)[name] : value;
}

/**
 * Makes a function of a handler method that runs Nest's guards, pipes, interceptors and filters around it. What does not
 * change per message is built once; a method without any of them is called directly.
 */
@Injectable()
export class HandlerInvoker {
  constructor(
    private readonly contexts: ExternalContextCreator,
    private readonly moduleRef: ModuleRef,
  ) {}

  /** @param globalEnhancers whether the application's global ones run as well; they are mostly written for HTTP */
  async create(wrapper: InstanceWrapper, method: string, globalEnhancers: boolean): Promise<Invoke> {
    const creator = this.creatorFor(wrapper, globalEnhancers);
    if (!wrapper.isDependencyTreeStatic()) return this.perMessage(wrapper, method, creator);
    const instance = (wrapper.isTransient ? await this.resolve(wrapper) : wrapper.instance) as object;
    if (!globalEnhancers && !isEnhanced(instance, method)) {
      return (payload, context) => (instance as Record<string, Method>)[method]?.(payload, context);
    }
    const run = this.enhance(creator, wrapper, instance, method);
    return (payload, context) => run(payload, context);
  }

  /** Request-scoped and durable: an instance of their own for each message (or each tenant). */
  private perMessage(wrapper: InstanceWrapper, method: string, creator: ExternalContextCreator): Invoke {
    return async (payload, context) => {
      const contextId = ContextIdFactory.getByRequest(context);
      const request: unknown = wrapper.isDependencyTreeDurable()
        ? ((contextId as { payload?: unknown }).payload ?? context)
        : context;
      this.moduleRef.registerRequestByContextId(request, contextId);
      const instance = (await this.resolve(wrapper, contextId)) as object;
      return this.enhance(creator, wrapper, instance, method, contextId)(payload, context);
    };
  }

  private resolve(wrapper: InstanceWrapper, contextId?: ContextId): Promise<unknown> {
    const own = wrapper.host?.providers.get(ModuleRef)?.instance as ModuleRef | undefined;
    return (own ?? this.moduleRef).resolve(wrapper.token as string, contextId, { strict: own !== undefined });
  }

  private enhance(
    creator: ExternalContextCreator,
    wrapper: InstanceWrapper,
    instance: object,
    method: string,
    contextId?: ContextId,
  ): Enhanced {
    const callback = (instance as Record<string, Method>)[method] as Method;
    const inquirerId = contextId ? wrapper.id : undefined;
    const target = creator.create(
      instance,
      callback,
      method,
      PARAMS_METADATA,
      PARAMS_FACTORY,
      contextId,
      inquirerId,
      { guards: true, interceptors: true, filters: false },
      'rpc',
    ) as Enhanced;
    const { filtersContextCreator } = creator as unknown as ContextCreatorSeams;
    const filters = filtersContextCreator.create(instance, callback, wrapper.host?.token ?? '', contextId, inquirerId);
    return async (...args) => {
      try {
        const result = await target(...args);
        return isHandlerValues(result) ? recoverable(result, (error) => recover(filters, error, args)) : result;
      } catch (error) {
        return recover(filters, error, args);
      }
    };
  }

  /** Nest's creator with the corrections that events need. Private to one handler, so that they touch nobody else. */
  private creatorFor(wrapper: InstanceWrapper, globalEnhancers: boolean): ExternalContextCreator {
    const base = globalEnhancers ? this.contexts : this.withoutGlobals();
    const seams = base as unknown as ContextCreatorSeams;
    assertSeams(seams);
    const { interceptorsConsumer } = seams;
    const corrections: Omit<ContextCreatorSeams, 'filtersContextCreator'> = {
      // Nest looks among providers only and would skip class-based guards on controllers
      getContextModuleKey: () => wrapper.host?.token ?? '',
      // pipes are for the payload
      getParamValue: (value, ...rest) =>
        isContext(value) ? Promise.resolve(value) : seams.getParamValue.call(base, value, ...rest),
      // with an interceptor it is an Observable: of how many of its values there is an answer, the request says
      transformToResult: async (result) => result,
      interceptorsConsumer: {
        // it may settle the error of the handler, or call it again
        intercept: (interceptors, args, instance, callback, next, type) =>
          interceptorsConsumer.intercept(
            interceptors,
            args,
            instance,
            callback,
            interceptors?.length ? () => forgetful(next, args[1]) : next,
            type,
          ),
      },
    };
    return Object.assign(Object.create(base) as ExternalContextCreator, corrections);
  }

  private withoutGlobals(): ExternalContextCreator {
    const { container } = this.moduleRef as unknown as { readonly container: object };
    const bare = Object.create(container, { applicationConfig: { value: new ApplicationConfig() } }) as Parameters<
      typeof ExternalContextCreator.fromContainer
    >[0];
    return ExternalContextCreator.fromContainer(bare);
  }
}

function isEnhanced(instance: object, method: string): boolean {
  const callback = (instance as Record<string, Method>)[method];
  const type = instance.constructor;
  return (
    ENHANCER_METADATA.some(
      (key) => Reflect.hasMetadata(key, type) || (callback && Reflect.hasMetadata(key, callback)),
    ) || hasDecoratedParams(type, method)
  );
}

/** What a handler gets beside its payload: a context, or those of a batch. */
function isContext(value: unknown): boolean {
  return value instanceof DeliveryContext || (Array.isArray(value) && value[0] instanceof DeliveryContext);
}

/** A handler that threw has not succeeded: what it emitted is not published, even if a filter or an interceptor settles its error. */
function forgetEmitted(error: unknown, given: unknown): void {
  const contexts: readonly unknown[] = Array.isArray(given) ? given : [given];
  const failed = error instanceof BatchError ? error.failures.map(({ index }) => contexts[index]) : contexts;
  for (const context of failed) if (context instanceof DeliveryContext) context.forget();
}

/** Calls a handler that is inside of interceptors. */
async function forgetful(handler: () => Promise<unknown>, given: unknown): Promise<unknown> {
  const forget = (error: unknown): never => {
    forgetEmitted(error, given);
    throw error;
  };
  const result = await handler().catch(forget);
  return isObservable(result) ? result.pipe(catchError(forget)) : result;
}

/** Errors that say what is to become of a delivery. */
const SPEAKING = [DeadLetterError, RetryLaterError, BatchError, ChainTooDeepError];

/**
 * Asks the filters. A value means handled. Nothing, or a filter that throws, leaves the original error to the retry
 * policy, except when the filter chose one of the errors that speak to it. Nest itself would count the promise of an
 * async filter as handled.
 */
async function recover(filters: ExceptionsHandler, error: unknown, args: readonly unknown[]): Promise<unknown> {
  forgetEmitted(error, args[1]);
  let result: unknown;
  try {
    const given = await filters.invokeCustomFilters(error, new EventArgumentsHost(args));
    result = isObservable(given) ? await lastValueFrom(given, { defaultValue: undefined }) : given;
  } catch (thrown) {
    throw SPEAKING.some((type) => thrown instanceof type) ? thrown : error;
  }
  // Nest 12 says undefined for "no filter", Nest 11 says null
  if (result === undefined || result === null) throw error;
  return result;
}

/** Asks the filters about an error that comes while the values are being read; what they make of it is the last value. */
function recoverable(values: HandlerValues, ask: (error: unknown) => Promise<unknown>): HandlerValues {
  if (isObservable(values)) {
    const each = map((value: unknown) => (isAsyncIterable(value) ? recoverable(value, ask) : value));
    return values.pipe(each, catchError(ask));
  }
  return (async function* () {
    try {
      yield* values;
    } catch (error) {
      yield await ask(error);
    }
  })();
}

function assertSeams(seams: Partial<ContextCreatorSeams>): void {
  const names = ['getContextModuleKey', 'getParamValue', 'transformToResult'] as const;
  const filters = seams.filtersContextCreator as { readonly create?: unknown } | undefined;
  const interceptors = seams.interceptorsConsumer as { readonly intercept?: unknown } | undefined;
  const methods = [...names.map((name) => seams[name]), filters?.create, interceptors?.intercept];
  if (methods.every((one) => typeof one === 'function')) return;
  throw new ConfigurationError(
    'This release of @nestjs/core is not supported: its ExternalContextCreator was rebuilt. Update nestjs-event-bus.',
  );
}
