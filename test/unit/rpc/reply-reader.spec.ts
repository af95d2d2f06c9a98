import { describe, expect, it } from '@jest/globals';
import { from, lastValueFrom, take, toArray } from 'rxjs';
import { ReplyReader } from '../../../lib/rpc/reply-reader.js';
import type { RequestEvents } from '../../../lib/rpc/request.js';

function start(signal?: AbortSignal) {
  const told = { starts: 0, taken: 0, stopped: 0 };
  let events: RequestEvents | undefined;
  const reader = new ReplyReader<number>(
    async (given) => {
      told.starts++;
      events = given;
      return { take: () => told.taken++, stop: () => told.stopped++ };
    },
    signal ? [signal] : [],
  );
  return {
    told,
    reader,
    part: (value: number) => events?.onReply({ kind: 'part', value }),
    last: (value: number) => events?.onReply({ kind: 'value', value }),
    finish: () => events?.onReply({ kind: 'end' }),
    fail: (error: unknown) => events?.onError(error),
  };
}

const over = { done: true, value: undefined };

describe('a reader of replies', () => {
  it('starts when it is asked first, and not when it is ended before', async () => {
    const { reader, told } = start();
    expect(told.starts).toBe(0);
    await expect(reader.return()).resolves.toEqual(over);
    await expect(reader.next()).resolves.toEqual(over);
    expect(told).toEqual({ starts: 0, taken: 0, stopped: 0 });
  });

  it('gives parts in order to those who wait and to those who come later; each that is given is taken', async () => {
    const { reader, told, part, last } = start();
    const waiting = [reader.next(), reader.next()];
    await Promise.resolve();
    for (const n of [1, 2, 3, 4]) part(n);
    expect(await Promise.all(waiting)).toMatchObject([{ value: 1 }, { value: 2 }]);
    expect(told).toMatchObject({ starts: 1, taken: 2 });
    last(5);
    const rest: number[] = [];
    for await (const n of reader) rest.push(n);
    expect(rest).toEqual([3, 4, 5]);
    expect(told.stopped).toBe(0);
    await expect(reader.next()).resolves.toEqual(over);
  });

  it('gives what has come before it fails; the error once', async () => {
    const { reader, part, fail } = start();
    const first = reader.next();
    await Promise.resolve();
    part(1);
    part(2);
    fail(new Error('as asked'));
    expect(await first).toMatchObject({ value: 1 });
    expect(await reader.next()).toMatchObject({ value: 2 });
    await expect(reader.next()).rejects.toThrow('as asked');
    await expect(reader.next()).resolves.toEqual(over);
  });

  it('those who wait when it ends: the first one gets the error, the others the end', async () => {
    const { reader, fail } = start();
    const waiting = Promise.allSettled([reader.next(), reader.next()]);
    await Promise.resolve();
    fail(new Error('as asked'));
    expect(await waiting).toMatchObject([{ status: 'rejected' }, { status: 'fulfilled', value: over }]);
  });

  it('left while it starts: stopped as soon as there is something to stop', async () => {
    const { reader, told } = start();
    const waiting = reader.next();
    await reader.return();
    expect(await waiting).toEqual(over);
    await Promise.resolve();
    expect(told.stopped).toBe(1);
  });

  it('aborted: rejects with the reason, whatever has come', async () => {
    const end = new AbortController();
    const { reader, told, part } = start(end.signal);
    const first = reader.next();
    await Promise.resolve();
    await Promise.resolve();
    for (const n of [1, 2]) part(n);
    await first;
    end.abort(new Error('enough'));
    await expect(reader.next()).rejects.toThrow('enough');
    expect(told.stopped).toBe(1);
    const late = start(end.signal);
    await expect(late.reader.next()).rejects.toThrow('enough');
    expect(late.told.starts).toBe(0);
  });

  it('is what rxjs makes an Observable of; who unsubscribes stops it', async () => {
    const { reader, told, part } = start();
    const values = lastValueFrom(from(reader).pipe(take(2), toArray()));
    await Promise.resolve();
    await Promise.resolve();
    for (const n of [1, 2, 3]) part(n);
    expect(await values).toEqual([1, 2]);
    await new Promise((resolve) => setImmediate(resolve));
    expect(told.stopped).toBe(1);
  });
});
