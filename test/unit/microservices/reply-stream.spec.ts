import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { concat, from, interval, NEVER, of, Subject, throwError } from 'rxjs';
import { replyWithAll } from '../../../lib/microservices/reply-stream.js';
import type { Reply } from '../../../lib/rpc/rpc.wire.js';

const FOREVER = new AbortController().signal;

async function answersOf(values: Parameters<typeof replyWithAll>[0], delayed = false): Promise<Reply[]> {
  const sent: Reply[] = [];
  const send = async (reply: Reply): Promise<boolean> => {
    if (delayed) await new Promise((resolve) => setImmediate(resolve));
    sent.push(reply);
    return true;
  };
  await replyWithAll(values, send, FOREVER);
  return sent;
}

describe('the answers of an Observable', () => {
  it('a value and the end that come together are one', async () => {
    expect(await answersOf(of(1))).toEqual([{ kind: 'value', value: 1 }]);
    expect(await answersOf(of())).toEqual([{ kind: 'end' }]);
    expect(await answersOf(of(undefined))).toEqual([{ kind: 'end' }]);
  });

  it('every value once, in order, and the last answer is the only one that ends', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.integer()), fc.boolean(), async (values, delayed) => {
        const answers = await answersOf(from(values), delayed);
        expect(answers.flatMap((answer) => ('value' in answer ? [answer.value] : []))).toEqual(values);
        expect(answers.slice(0, -1).every(({ kind }) => kind === 'part')).toBe(true);
        expect(['value', 'end']).toContain(answers.at(-1)?.kind);
      }),
      { numRuns: 50 },
    );
  });

  it('undefined is no value, wherever it comes', async () => {
    const last = [
      { kind: 'part', value: 1 },
      { kind: 'value', value: 3 },
    ];
    expect(await answersOf(of(1, undefined, 3))).toEqual(last);
    expect(await answersOf(of(1, 3, undefined))).toEqual(last);
  });

  it('nothing follows an answer that could not be sent, and the Observable is stopped', async () => {
    const values = new Subject<number>();
    const sent: Reply[] = [];
    const done = replyWithAll(values, async (reply) => sent.push(reply) < 2, FOREVER);
    for (const n of [1, 2, 3]) values.next(n);
    await done;
    expect(sent).toEqual([
      { kind: 'part', value: 1 },
      { kind: 'part', value: 2 },
    ]);
    expect(values.observed).toBe(false);
  });

  it('an error comes after the values before it', async () => {
    const values = concat(
      of(1, 2),
      throwError(() => 'enough'),
    );
    expect(await answersOf(values)).toEqual([
      { kind: 'part', value: 1 },
      { kind: 'part', value: 2 },
      { kind: 'error', value: 'enough' },
    ]);
  });

  it('a value is sent when it comes, not with the next one', async () => {
    const values = new Subject<number>();
    const sent: Reply[] = [];
    const done = replyWithAll(values, async (reply) => sent.push(reply) > 0, FOREVER);
    values.next(1);
    await new Promise((resolve) => setImmediate(resolve));
    expect(sent).toEqual([{ kind: 'part', value: 1 }]);
    values.complete();
    await done;
    expect(sent.at(-1)).toEqual({ kind: 'end' });
  });

  it.each([
    ['silent', NEVER],
    ['endless', interval(1)],
  ])('aborted: a %s one is stopped', async (_, values) => {
    const end = new AbortController();
    const sent: Reply[] = [];
    const source = new Subject<number>();
    const done = replyWithAll(source, async (reply) => sent.push(reply) > 0, end.signal);
    const feeding = values.subscribe(source);
    end.abort(new Error('as asked'));
    await expect(done).rejects.toThrow('as asked');
    feeding.unsubscribe();
    expect(source.observed).toBe(false);
    const gone = AbortSignal.abort(new Error('before'));
    await expect(replyWithAll(values, async () => true, gone)).rejects.toThrow('before');
  });
});
