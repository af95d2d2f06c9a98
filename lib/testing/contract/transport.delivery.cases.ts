import assert from 'node:assert/strict';
import { ACK, RELEASE } from '../../core/delivery.js';
import type { Message } from '../../core/message.js';
import type { ContractCase } from './contract.js';
import { transportCase } from './contract-case.js';
import { listen, type Reaction, retryOf } from './listener.js';
import { Log } from './log.js';
import { createFullMessage, createMessage, createMessages, idsOf, toComparable } from './message.factory.js';

const PREFETCH = 5;

/** Headers that must come back as they went, each type as itself. */
const HEADERS = Object.freeze({
  text: 'plain',
  empty: '',
  unicode: 'Grüße 🚚 \u0000 漢字',
  number: '42',
  zero: 0,
  integer: 42,
  negative: -7,
  int32: -2_147_483_648,
  uint32: 4_294_967_295,
  int53: 9_007_199_254_740_991,
  negative53: -9_007_199_254_740_991,
  float: 0.1,
  small: 5e-324,
  large: 1.7976931348623157e308,
  wholeLarge: 1e21,
  negativeLarge: -1e21,
  largeFraction: 1_125_899_906_842_624.5,
  yes: true,
  no: false,
  'with space': 'x',
  'ümlaut-name': 'y',
});

function sized(bytes: number): Message {
  const body = Buffer.alloc(bytes);
  for (let i = 0; i < bytes; i++) body[i] = (i * 31 + (i >> 8)) & 0xff;
  return createMessage(`size.${bytes}`, { body, contentType: 'application/octet-stream' });
}

/** What arrives is what was sent: every message, every byte, every field. */
export const DELIVERY_CASES: readonly ContractCase[] = [
  transportCase('W1 every published message arrives once, with its body and its headers', async (bench) => {
    const source = bench.shared();
    const transport = await bench.open(source);
    const sent = Array.from({ length: 100 }, (_, i) => createMessage(`entry.${i}`, { headers: { n: i, s: `${i}` } }));
    await bench.publishAll(transport, sent);
    const { deliveries, messages } = await listen(transport, source);
    await deliveries.settle(100);
    const byId = new Map(messages.map((message) => [message.id, message]));
    for (const message of sent) {
      const arrived = byId.get(message.id);
      assert.ok(arrived, `${message.topic} did not arrive`);
      assert.deepEqual(toComparable(arrived), toComparable(message));
    }
  }),

  transportCase('W2 of many consumers in one group exactly one gets each message of many publishers', async (bench) => {
    const source = bench.shared('workers', { prefetch: 2 });
    const transport = await bench.open(source);
    const handled = new Log<string>('handled messages');
    const handle: Reaction = ({ message }) => {
      handled.add(message.id);
      return ACK;
    };
    await Promise.all(Array.from({ length: 10 }, () => listen(transport, source, handle)));
    const sent = createMessages(100);
    await bench.publishAll(transport, sent);
    assert.deepEqual((await handled.settle(100)).toSorted(), idsOf(sent));
  }),

  transportCase(
    'W3 W12 the same ids on ten topics: each group gets those of its topic and no others',
    async (bench) => {
      const transport = await bench.open();
      const ids = idsOf(createMessages(20));
      await Promise.all(
        Array.from({ length: 10 }, async (_, i) => {
          const topic = `topic.${i}`;
          const source = bench.shared(`group-${i}`, { bindings: bench.bind(topic) });
          await transport.declare(source);
          await Promise.all(ids.map((id) => bench.publish(transport, createMessage(topic, { id }))));
          const { deliveries, messages } = await listen(transport, source);
          await deliveries.settle(ids.length);
          assert.deepEqual(idsOf(messages), ids);
          assert.deepEqual([...new Set(messages.map((message) => message.topic))], [topic]);
        }),
      );
    },
  ),

  transportCase('W9 each of several groups gets every message', async (bench) => {
    const sources = ['a', 'b', 'c'].map((name) => bench.shared(name));
    const transport = await bench.open(...sources);
    const sent = createMessages(50);
    await bench.publishAll(transport, sent);
    for (const source of sources) {
      const { deliveries, messages } = await listen(transport, source);
      await deliveries.settle(50);
      assert.deepEqual(idsOf(messages), idsOf(sent));
    }
  }),

  transportCase('W10 a single consumer gets the messages of one publisher in their order', async (bench) => {
    const source = bench.shared('ordered', { prefetch: PREFETCH });
    const transport = await bench.open(source);
    const sent = createMessages(100);
    const { deliveries, messages } = await listen(transport, source);
    await bench.publishAll(transport, sent);
    await deliveries.settle(100);
    const [arrived, published] = [messages, sent].map((list) => list.map(({ topic }) => topic));
    if (transport.capabilities.ordered !== 'never') assert.deepEqual(arrived, published);
    else assert.deepEqual(arrived?.toSorted(), published?.toSorted());
  }),

  transportCase('what is published after declare waits for the first consumer', async (bench) => {
    const transport = await bench.open();
    const source = bench.shared();
    await transport.declare(source);
    const message = createMessage('early');
    assert.deepEqual(await bench.publish(transport, message), { routed: true });
    const { deliveries, messages } = await listen(transport, source);
    await deliveries.settle(1);
    assert.deepEqual(idsOf(messages), [message.id]);
  }),

  transportCase('a first delivery is attempt 1, not redelivered, never put off, not aborted', async (bench) => {
    const source = bench.shared();
    const transport = await bench.open(source);
    const { deliveries } = await listen(transport, source);
    await bench.publish(transport, createMessage('first'));
    const [delivery] = await deliveries.reach(1);
    assert.ok(delivery);
    const { attempt, redelivered, deferrals, signal } = delivery;
    const seen = { attempt, redelivered, deferrals, aborted: signal.aborted };
    assert.deepEqual(seen, { attempt: 1, redelivered: false, deferrals: 0, aborted: false });
  }),

  transportCase('C7 bodies of 0 B, 1 B, 256 KiB and 1 MiB arrive byte for byte', async (bench) => {
    const source = bench.shared();
    const transport = await bench.open(source);
    const sent = [0, 1, 262_144, 1_048_576].map(sized);
    const { deliveries, messages } = await listen(transport, source);
    await bench.publishAll(transport, sent);
    await deliveries.settle(sent.length);
    for (const { id, body } of sent) {
      const arrived = messages.find((message) => message.id === id);
      assert.ok(arrived?.body instanceof Uint8Array, `${body.byteLength} bytes did not arrive`);
      assert.equal(Buffer.compare(arrived.body, body), 0, `${body.byteLength} bytes changed on the way`);
    }
  }),

  transportCase(
    'C8 headers keep their types: text in any script, whole numbers, fractions, booleans',
    async (bench) => {
      const source = bench.shared();
      const transport = await bench.open(source);
      const { deliveries, messages } = await listen(transport, source, (delivery) =>
        delivery.attempt === 1 ? retryOf(delivery) : ACK,
      );
      await bench.publish(transport, createMessage('headers', { headers: HEADERS }));
      await deliveries.settle(2);
      assert.deepEqual(
        messages.map((message) => ({ ...message.headers })),
        [{ ...HEADERS }, { ...HEADERS }],
      );
    },
  ),

  transportCase('every field of a message arrives, and none that was not sent', async (bench) => {
    const source = bench.shared();
    const transport = await bench.open(source);
    const { deliveries, messages } = await listen(transport, source);
    const sent = [createFullMessage('full.message'), createMessage('bare.message')];
    for (const message of sent) await bench.publish(transport, message);
    await deliveries.settle(2);
    const [arrived, expected] = [messages, sent].map((list) =>
      Object.fromEntries(list.map((message) => [message.topic, toComparable(message)])),
    );
    assert.deepEqual(arrived, expected);
  }),

  transportCase('C14 what one group does to a message no other group sees', async (bench) => {
    const [vandal, victim, lonely] = [bench.shared('vandal'), bench.shared('victim'), bench.own()];
    const transport = await bench.open(vandal, victim);
    const message = createFullMessage('shared.message');
    const before = toComparable(message);
    const broken = await listen(transport, vandal, ({ message: mine }) => {
      mine.body.fill(0);
      Reflect.set(mine, 'topic', 'changed');
      Reflect.set(mine.headers, 'tenant', 'changed');
      Reflect.set(mine.headers, 'added', true);
      return ACK;
    });
    const alone = await listen(transport, lonely, ({ message: mine }) => {
      mine.body.fill(0);
      return ACK;
    });
    await bench.publish(transport, message);
    await Promise.all([broken.deliveries.reach(1), alone.deliveries.reach(1)]);
    const later = await listen(transport, victim);
    await later.deliveries.reach(1);
    assert.deepEqual(later.messages.map(toComparable), [before]);
  }),

  transportCase(
    'W6 fifty messages outlive eight consumers that are closed, twice, in the middle of work',
    async (bench) => {
      const source = bench.shared('workers', { prefetch: 12 });
      const transport = await bench.open(source);
      const sent = createMessages(50);
      await bench.publishAll(transport, sent);
      const handled = new Set<string>();
      for (let round = 0; round < 8 && handled.size < 48; round++) {
        const mine: string[] = [];
        const { consumer, deliveries } = await listen(transport, source, ({ message }) => {
          if (mine.length === 6) return undefined; // stays unsettled until the consumer closes
          mine.push(message.id);
          return ACK;
        });
        await deliveries.reach(7);
        await Promise.all([consumer.close({ deadlineMs: 1 }), consumer.close({ deadlineMs: 1 })]);
        await consumer.close();
        for (const id of mine) handled.add(id);
      }
      const { deliveries, messages } = await listen(transport, source);
      await deliveries.settle(50 - handled.size);
      assert.deepEqual([...handled, ...idsOf(messages)].toSorted(), idsOf(sent));
    },
  ),

  transportCase('W7 ten consumers open and close at once, and nothing is lost', async (bench) => {
    const source = bench.shared();
    const transport = await bench.open(source);
    const handled: Message[] = [];
    const sent = createMessages(50);
    const openAndClose = async (): Promise<void> => {
      const { consumer } = await listen(transport, source, ({ message }) => {
        handled.push(message);
        return ACK;
      });
      await consumer.close();
    };
    const published = bench.publishAll(transport, sent);
    await Promise.all([published, ...Array.from({ length: 10 }, openAndClose)]);
    const { deliveries, messages } = await listen(transport, source);
    await deliveries.settle(50 - handled.length);
    assert.deepEqual(idsOf([...handled, ...messages]), idsOf(sent));
  }),

  transportCase('W8 three consumers give everything back and close; the next one gets it all', async (bench) => {
    const source = bench.shared('workers', { prefetch: PREFETCH });
    const transport = await bench.open(source);
    const sent = createMessages(50);
    await bench.publishAll(transport, sent);
    for (let round = 0; round < 3; round++) {
      const { consumer, deliveries } = await listen(transport, source, (_, index) =>
        index < PREFETCH ? RELEASE : undefined,
      );
      await deliveries.reach(PREFETCH + 1);
      await consumer.close({ deadlineMs: 1 });
    }
    const { deliveries, messages } = await listen(transport, source);
    await deliveries.settle(50);
    assert.deepEqual(idsOf(messages), idsOf(sent));
    assert.deepEqual([...new Set(deliveries.items.map(({ attempt }) => attempt))], [1]);
    assert.equal(await transport.deadLetters.count(bench.group('workers')), 0);
  }),
];
