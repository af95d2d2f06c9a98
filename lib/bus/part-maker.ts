import type { Constructor } from '../core/constructor.js';
import { ConfigurationError } from '../core/errors.js';
import type { ExchangeHandler } from '../core/exchange.js';
import type { Serializer } from '../core/serializer.js';
import { hint } from '../core/text.js';
import { createExchangeHandler, EXCHANGE_TYPES, type ExchangeType } from '../exchanges/exchange.factory.js';
import { createSerializer } from '../serializers/serializer.factory.js';
import type { StartupFunction, StartupPolicy } from '../startup/startup-policy.js';
import { makeStartupPolicy } from '../startup/startup-policy.maker.js';
import type { EventBusOptions } from './event-bus.options.js';
import { CHECKS } from './option-checks.js';
import type { ResolvedExchange, ResolvedOptions } from './resolved-options.js';

/** Makes an object of a class that the user has given: with what a container injects, where there is one. */
export type Make = <T>(type: Constructor<T>) => Promise<T>;

/** Makes the rules and serializers that the options name, whether by name, as a class or as an object. */
export class PartMaker {
  private own: Promise<readonly ExchangeHandler[]> | undefined;

  constructor(
    private readonly raw: EventBusOptions,
    private readonly options: ResolvedOptions,
    private readonly make: Make,
  ) {}

  /** The rule of the main exchange. */
  exchange(): Promise<ExchangeHandler> {
    return this.handlerOf(this.options.exchange, 'exchange');
  }

  /** The rules of the other exchanges, by name. */
  async exchanges(): Promise<Readonly<Record<string, ExchangeHandler>>> {
    const handlers: [string, ExchangeHandler][] = [];
    for (const one of this.options.exchanges) {
      handlers.push([one.name, await this.handlerOf(one, `exchanges[${JSON.stringify(one.name)}]`)]);
    }
    return Object.fromEntries(handlers);
  }

  serializer(): Promise<Serializer> {
    return this.serializerOf(this.raw.serializer ?? 'json', 'serializer');
  }

  /** What consumers read besides. */
  accept(): Promise<readonly Serializer[]> {
    return Promise.all((this.raw.accept ?? []).map((one, index) => this.serializerOf(one, `accept[${index}]`)));
  }

  /** What consumers wait for, to be made when they shall start: a class of the user's own may need the bus. */
  startup(): (() => Promise<StartupPolicy | StartupFunction>) | undefined {
    const input = this.raw.startup?.policy;
    if (input === undefined) return undefined;
    let policy: Promise<StartupPolicy | StartupFunction> | undefined;
    return () => {
      policy ??= makeStartupPolicy(input, (type, path) => this.made(type, path, ['waitUntilReady']), 'startup.policy');
      return policy;
    };
  }

  private async handlerOf({ type, handler }: ResolvedExchange, path: string): Promise<ExchangeHandler> {
    if (typeof handler === 'function') return checked(await this.made(handler, path, CHECKS.HANDLER_METHODS), path);
    if (handler) return checked(handler, path);
    const own = (await this.ownHandlers()).find((one) => one.type === type);
    if (own) return own;
    if ((EXCHANGE_TYPES as readonly string[]).includes(type)) return createExchangeHandler(type as ExchangeType);
    const known = [...EXCHANGE_TYPES, ...(await this.ownHandlers()).map((one) => one.type)];
    throw new ConfigurationError(
      `${path}.type is unknown. ${hint(type, known)} A rule of your own goes into exchangeHandlers.`,
    );
  }

  private ownHandlers(): Promise<readonly ExchangeHandler[]> {
    this.own ??= Promise.all(
      (this.raw.exchangeHandlers ?? []).map(async (one, index) =>
        checked(
          typeof one === 'function' ? await this.made(one, `exchangeHandlers[${index}]`, CHECKS.HANDLER_METHODS) : one,
          `exchangeHandlers[${index}]`,
        ),
      ),
    ).then(distinct);
    return this.own;
  }

  private async serializerOf(
    serializer: NonNullable<EventBusOptions['serializer']>,
    path: string,
  ): Promise<Serializer> {
    if (typeof serializer === 'string') return createSerializer(serializer);
    return typeof serializer === 'function' ? this.made(serializer, path, CHECKS.SERIALIZER_METHODS) : serializer;
  }

  private async made<T>(type: Constructor<T>, path: string, methods: readonly (keyof T & string)[]): Promise<T> {
    let made: T;
    try {
      made = await this.make(type);
    } catch (cause) {
      throw new ConfigurationError(
        `${path}: ${type.name || 'the class'} cannot be made: ${cause instanceof Error ? cause.message : String(cause)}`,
        { cause },
      );
    }
    const missing = methods.filter((method) => typeof made[method] !== 'function');
    if (missing.length === 0) return made;
    throw new ConfigurationError(`${path}: ${type.name || 'the class'} must have the methods ${missing.join(', ')}.`);
  }
}

/** What a broker and the bus must know of a rule, wherever it comes from. */
function checked(handler: ExchangeHandler, path: string): ExchangeHandler {
  const { type, usesHeaders } = handler as { readonly type: unknown; readonly usesHeaders: unknown };
  if (typeof type !== 'string' || type === '' || Buffer.byteLength(type) > 255)
    throw new ConfigurationError(
      `${path}: type of the rule must be a text of 1 to 255 bytes, by which a broker knows it.`,
    );
  if (typeof usesHeaders !== 'boolean')
    throw new ConfigurationError(`${path}: usesHeaders of the rule must be true or false.`);
  return handler;
}

function distinct(handlers: readonly ExchangeHandler[]): readonly ExchangeHandler[] {
  const [twin] = handlers.filter(({ type }, index) => handlers.findIndex((one) => one.type === type) !== index);
  if (twin) throw new ConfigurationError(`exchangeHandlers has two rules of the type "${twin.type}".`);
  return handlers;
}
