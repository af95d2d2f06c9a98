import { describe, expect, it, jest } from '@jest/globals';
import fc from 'fast-check';
import { EventBusError } from '../../../lib/core/errors.js';
import { compose, type Middleware } from '../../../lib/core/pipeline.js';

type Log = string[];

const around =
  (name: string): Middleware<Log> =>
  async (log, next) => {
    log.push(`> ${name}`);
    await next();
    log.push(`< ${name}`);
  };

describe('compose', () => {
  it('runs only the last step when there is no middleware', async () => {
    const last = jest.fn(async () => undefined);
    await compose([])({}, last);
    expect(last).toHaveBeenCalledTimes(1);
  });

  it('runs the first middleware outermost', async () => {
    const log: Log = [];
    await compose([around('a'), around('b'), around('c')])(log, async () => void log.push('last'));
    expect(log).toEqual(['> a', '> b', '> c', 'last', '< c', '< b', '< a']);
  });

  it('nests any number of middleware', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.string(), { maxLength: 12 }), async (names) => {
        const log: Log = [];
        await compose(names.map(around))(log, async () => void log.push('last'));
        expect(log).toEqual([
          ...names.map((name) => `> ${name}`),
          'last',
          ...names.toReversed().map((name) => `< ${name}`),
        ]);
      }),
    );
  });

  it('is associative: a composed part is a middleware', async () => {
    const [flat, nested]: [Log, Log] = [[], []];
    await compose([around('a'), around('b'), around('c')])(flat, async () => void flat.push('last'));
    await compose([around('a'), compose([around('b'), around('c')])])(nested, async () => void nested.push('last'));
    expect(nested).toEqual(flat);
  });

  it('hands the same context to everybody', async () => {
    const context = { n: 1 };
    const seen: unknown[] = [];
    const note: Middleware<typeof context> = async (each, next) => {
      seen.push(each);
      await next();
    };
    await compose([note, note])(context, async () => undefined);
    expect(seen).toHaveLength(2);
    for (const each of seen) expect(each).toBe(context);
  });

  it('waits for the last step', async () => {
    const log: Log = [];
    await compose([around('a')])(log, async () => {
      await new Promise((resolve) => setTimeout(resolve, 5));
      log.push('last');
    });
    expect(log).toEqual(['> a', 'last', '< a']);
  });

  it('keeps runs apart, also when they overlap', async () => {
    const run = compose<Log>([around('a'), around('b')]);
    const logs: Log[] = [[], [], []];
    await Promise.all(logs.map((log, i) => run(log, async () => void log.push(`last ${i}`))));
    expect(logs).toEqual([0, 1, 2].map((i) => ['> a', '> b', `last ${i}`, '< b', '< a']));
  });

  it('does not run the last step when a middleware throws before', async () => {
    const last = jest.fn(async () => undefined);
    const log: Log = [];
    const refuse: Middleware<Log> = async () => {
      throw new Error('refused');
    };
    await expect(compose([around('a'), refuse, around('c')])(log, last)).rejects.toThrow('refused');
    expect(last).not.toHaveBeenCalled();
    expect(log).toEqual(['> a']);
  });

  it('rejects, never throws, when a middleware throws at once', async () => {
    const refuse = (() => {
      throw new Error('at once');
    }) as unknown as Middleware<object>;
    const running = compose([refuse])({}, async () => undefined);
    await expect(running).rejects.toThrow('at once');
  });

  it('rejects, never throws, when the last step throws at once', async () => {
    const running = compose<Log>([around('a')])([], () => {
      throw new Error('at once');
    });
    await expect(running).rejects.toThrow('at once');
  });

  it('takes the very error of the last step through all middleware, which can replace it', async () => {
    const error = new Error('from the last step');
    const seen: unknown[] = [];
    const note: Middleware<object> = async (_, next) => {
      try {
        await next();
      } catch (caught) {
        seen.push(caught);
        throw caught;
      }
    };
    const fail = async (): Promise<void> => {
      throw error;
    };
    await expect(compose([note, note])({}, fail)).rejects.toBe(error);
    expect(seen).toEqual([error, error]);
    const replace: Middleware<object> = (_, next) =>
      next().catch(() => {
        throw new Error('replaced');
      });
    await expect(compose([replace, note])({}, fail)).rejects.toThrow('replaced');
    const swallow: Middleware<object> = (_, next) => next().catch(() => undefined);
    await expect(compose([swallow])({}, fail)).resolves.toBeUndefined();
  });

  it.each<[string, Middleware<object>]>([
    [
      'one after the other',
      async (_, next) => {
        await next();
        await next();
      },
    ],
    ['at the same time', async (_, next) => void (await Promise.all([next(), next()]))],
    [
      'after a failure',
      async (_, next) => {
        await next().catch(() => undefined);
        await next();
      },
    ],
  ])('refuses a second next(): %s', async (_, twice) => {
    const pass: Middleware<object> = (__, next) => next();
    for (const middleware of [[twice], [pass, twice], [twice, pass], [pass, twice, pass]]) {
      const last = jest.fn(async () => undefined);
      const error: unknown = await compose(middleware)({}, last).catch((caught: unknown) => caught);
      expect(error).toBeInstanceOf(EventBusError);
      expect(error).toMatchObject({ code: 'NEXT_CALLED_TWICE', retryable: false });
      expect(last).toHaveBeenCalledTimes(1);
    }
  });
});
