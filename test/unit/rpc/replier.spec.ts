import { describe, expect, it } from '@jest/globals';
import { MessageEncoder } from '../../../lib/bus/message-encoder.js';
import { resolveOptions } from '../../../lib/bus/resolved-options.js';
import { DeadLetterError, PublishTimeoutError } from '../../../lib/core/errors.js';
import { Replier } from '../../../lib/rpc/replier.js';
import { JsonSerializer } from '../../../lib/serializers/json.serializer.js';
import { TextSerializer } from '../../../lib/serializers/text.serializer.js';
import { FakeTransport } from '../support/fake.transport.js';
import { RecordingLogger } from '../support/recording.logger.js';

const serializer = new JsonSerializer();
const encoder = new MessageEncoder({ service: 'shop', serializer, maxMessageBytes: 1_000, maxDepth: 10 });
const options = resolveOptions({ service: 'shop', publish: { timeoutMs: 1_000, maxMessageBytes: 1_000 } });

function start() {
  const transport = new FakeTransport();
  const logger = new RecordingLogger();
  return { transport, logger, replier: new Replier({ transport, serializer, options, logger }) };
}

const request = encoder.encode('orders.place', 1, { id: 'r-1', correlationId: 'c-1', replyTo: 'back' });

describe('a replier', () => {
  it('sends the value to where the request wants it, with its correlation id', async () => {
    const { transport, replier } = start();
    await replier.open(request).send({ kind: 'value', value: { n: 1 } });
    const [sent] = transport.sent;
    expect(sent?.target).toEqual({ kind: 'reply', address: 'back' });
    expect(sent?.message).toMatchObject({ type: 'reply', correlationId: 'c-1', source: 'shop' });
    expect(Buffer.from(sent?.message.body ?? []).toString()).toBe('{"n":1}');
  });

  it('waits no longer than the one who asked', async () => {
    const { transport, replier } = start();
    await replier.open({ ...request, expiresAt: Date.now() + 200 }).send({ kind: 'end' });
    await replier.open({ ...request, expiresAt: Date.now() - 200 }).send({ kind: 'end' });
    const [soon, late] = transport.sent.map(({ options }) => options?.timeoutMs ?? 0);
    expect(soon).toBeLessThanOrEqual(200);
    expect(late).toBe(50);
  });

  it('a value that cannot be sent: the requester is told so, without the value', async () => {
    const { transport, replier, logger } = start();
    await replier.open(request).send({ kind: 'value', value: 1n });
    await replier.open(request).send({ kind: 'value', value: 'x'.repeat(2_000) });
    expect(transport.sent.map(({ message }) => message.type)).toEqual(['reply.error', 'reply.error']);
    expect(Buffer.from(transport.sent[0]?.message.body ?? []).toString()).toContain('could not be sent');
    expect(logger.lines.filter((line) => line.includes('orders.place'))).toHaveLength(2);
  });

  it('says that there is no value even where the format has nothing for it', async () => {
    const transport = new FakeTransport();
    const logger = new RecordingLogger();
    const replier = new Replier({ transport, serializer: new TextSerializer(), options, logger });
    expect(await replier.open(request).send({ kind: 'end' })).toBe(true);
    expect(transport.sent.map(({ message }) => [message.type, message.body.byteLength])).toEqual([['reply.end', 0]]);
    expect(logger.lines).toEqual([]);
  });

  it('never rejects, and is not opened for who waits for no answer', async () => {
    const { transport, replier, logger } = start();
    transport.publishing = async () => {
      throw new Error('as asked');
    };
    await replier.open(request).send({ kind: 'value', value: 1 });
    expect(logger.lines).toEqual([expect.stringContaining('"orders.place" (r-1) could not be answered')]);
    const { replyTo: _, ...event } = request;
    expect(() => replier.open(event)).toThrow(DeadLetterError);
    expect(transport.sent).toHaveLength(1);
  });

  it('a part that is not taken is followed by one error and nothing else, told once, without the address', async () => {
    const { transport, replier, logger } = start();
    const answers = replier.open({ ...request, expiresAt: Date.now() + 100 });
    expect(await answers.send({ kind: 'part', value: 1 })).toBe(true);
    transport.publishing = async () => {
      transport.publishing = async () => ({ routed: true });
      throw new PublishTimeoutError('back', 1_000, true);
    };
    expect(await answers.send({ kind: 'part', value: 2 })).toBe(false);
    expect(await answers.send({ kind: 'part', value: 3 })).toBe(false);
    expect(await answers.send({ kind: 'end' })).toBe(false);
    expect(transport.sent.map(({ message }) => message.type)).toEqual(['reply.part', 'reply.part', 'reply.error']);
    // whoever has the first one waits for the next one anew
    expect(transport.sent.map(({ options }) => options?.timeoutMs === 1_000)).toEqual([false, true, true]);
    expect(logger.lines).toEqual([expect.stringContaining('(PUBLISH_TIMEOUT)')]);
    expect(logger.lines.join()).not.toMatch(/back|again/);
  });

  it('a part that cannot be sent is the end', async () => {
    const { transport, replier } = start();
    const answers = replier.open(request);
    expect(await answers.send({ kind: 'part', value: 1n })).toBe(false);
    expect(await answers.send({ kind: 'value', value: 2 })).toBe(false);
    expect(transport.sent.map(({ message }) => message.type)).toEqual(['reply.error']);
  });
});
