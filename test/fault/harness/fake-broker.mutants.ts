import type { Dice } from './fake-broker.dice.js';
import { encodeContent, encodeMethod, type Fields, type MethodName, rawFrame } from './fake-broker.wire.js';

const METHOD = 1;
const HEADER = 2;
const BODY = 3;
const HEARTBEAT = 8;
const FRAME_MAX = 131_072;
const BASIC = 60;

/** Where a mutant goes: a channel of the client, and the consumer tags that it knows. */
export interface Aim {
  readonly channel: number;
  readonly tags: readonly string[];
}

type Mutant = (dice: Dice, aim: Aim) => Buffer;

/** Methods of a broker, at a time when nobody waits for them, with fields that fit their types and nothing else. */
const METHODS: readonly (readonly [MethodName, (dice: Dice, aim: Aim) => Fields])[] = [
  ['BasicAck', (dice) => ({ deliveryTag: dice.int(1_000), multiple: dice.int(2) === 1 })],
  ['BasicNack', (dice) => ({ deliveryTag: dice.int(1_000), multiple: dice.int(2) === 1, requeue: false })],
  [
    'BasicReturn',
    (dice) => ({ replyCode: 312, replyText: dice.text(), exchange: dice.text(), routingKey: dice.text() }),
  ],
  ['BasicDeliver', deliverFields],
  ['BasicCancel', (dice, aim) => ({ consumerTag: tagOf(dice, aim), nowait: true })],
  ['BasicConsumeOk', (dice, aim) => ({ consumerTag: tagOf(dice, aim) })],
  ['BasicCancelOk', (dice, aim) => ({ consumerTag: tagOf(dice, aim) })],
  ['BasicQosOk', () => ({})],
  ['QueueDeclareOk', (dice) => ({ queue: dice.text(), messageCount: dice.int(1e9), consumerCount: dice.int(1e9) })],
  ['QueueBindOk', () => ({})],
  ['ExchangeDeclareOk', () => ({})],
  ['ConfirmSelectOk', () => ({})],
  ['ChannelOpenOk', () => ({})],
  ['ChannelCloseOk', () => ({})],
  ['ChannelClose', (dice) => ({ replyCode: dice.int(65_536), replyText: dice.text(), classId: 0, methodId: 0 })],
  ['ConnectionStart', () => ({ versionMajor: 9, versionMinor: 9, serverProperties: {} })],
  ['ConnectionTune', (dice) => ({ channelMax: dice.int(9), frameMax: dice.int(9), heartbeat: dice.int(9) })],
  ['ConnectionOpenOk', () => ({})],
  ['ConnectionClose', (dice) => ({ replyCode: dice.int(65_536), replyText: dice.text(), classId: 0, methodId: 0 })],
  ['ConnectionCloseOk', () => ({})],
  ['ConnectionBlocked', (dice) => ({ reason: dice.text() })],
  ['ConnectionUnblocked', () => ({})],
];

/** Everything a client should never get, by name. */
export const MUTANTS: Readonly<Record<string, Mutant>> = {
  'random bytes': (dice) => dice.bytes(1 + dice.int(200)),
  'a frame of random bytes': (dice, aim) =>
    rawFrame(dice.pick([METHOD, HEADER, BODY, HEARTBEAT, dice.int(256)]), aim.channel, dice.bytes(dice.int(100))),
  'a wrong frame end': (dice, aim) => {
    const frame = validFrame(dice, aim);
    frame.writeUInt8(dice.int(206), frame.length - 1);
    return frame;
  },
  'a frame that says it is huge': (dice, aim) =>
    rawFrame(METHOD, aim.channel, dice.bytes(10), dice.pick([0xffffffff, 2 ** 31, 64 * 1024 * 1024 + 1])),
  'a frame that says it is empty': (dice, aim) => rawFrame(dice.pick([METHOD, HEADER]), aim.channel, dice.bytes(9), 0),
  'an unknown method': (dice, { channel }) => {
    const payload = dice.bytes(4 + dice.int(20));
    payload.writeUInt16BE(dice.pick([10, 20, 50, 60, 85, 90, dice.int(65_536)]), 0);
    return rawFrame(METHOD, channel, payload);
  },
  'a method that nobody waits for': (dice, aim) => {
    const [method, fields] = dice.pick(METHODS);
    return encodeMethod(method, aim.channel, fields(dice, aim));
  },
  'a method of a channel that is not open': (dice, aim) => {
    const [method, fields] = dice.pick(METHODS);
    return encodeMethod(method, 1_000 + dice.int(60_000), fields(dice, aim));
  },
  'a method without its fields': (dice, aim) => {
    const frame = validFrame(dice, aim);
    return rawFrame(METHOD, aim.channel, frame.subarray(7, 11 + dice.int(Math.max(1, frame.length - 12))));
  },
  'a heartbeat with a body': (dice, aim) => rawFrame(HEARTBEAT, aim.channel, dice.bytes(dice.int(20))),
  'a flipped bit': (dice, aim) => {
    const frames = delivery(dice, aim, { headers: { a: 'b', n: 1 } });
    const at = dice.int(frames.length);
    frames.writeUInt8(frames.readUInt8(at) ^ (1 << dice.int(8)), at);
    return frames;
  },
  'a part of a delivery': (dice, aim) => {
    const frames = delivery(dice, aim, { headers: { a: 'b' } });
    return frames.subarray(0, 1 + dice.int(frames.length - 1));
  },
  'a delivery without a header': (dice, aim) =>
    Buffer.concat([
      encodeMethod('BasicDeliver', aim.channel, deliverFields(dice, aim)),
      rawFrame(BODY, aim.channel, dice.bytes(9)),
    ]),
  'a header without a delivery': (dice, aim) => encodeContent(aim.channel, {}, dice.bytes(dice.int(50)), FRAME_MAX),
  'a header of the wrong size': (dice, aim) =>
    Buffer.concat([
      encodeMethod('BasicDeliver', aim.channel, deliverFields(dice, aim)),
      contentHeader(aim, dice.pick([0n, 1n, 2n ** 40n, 2n ** 63n - 1n, -1n]), dice.bytes(2)),
      rawFrame(BODY, aim.channel, dice.bytes(20)),
    ]),
  'a garbage header table': (dice, aim) => {
    const table = dice.bytes(dice.int(60));
    const flags = Buffer.from([0x20, 0, 0, 0, 0, dice.pick([table.length, 255])]);
    return Buffer.concat([
      encodeMethod('BasicDeliver', aim.channel, deliverFields(dice, aim)),
      contentHeader(aim, 4n, Buffer.concat([flags, table])),
      rawFrame(BODY, aim.channel, dice.bytes(4)),
    ]);
  },
  'a delivery with hostile headers': (dice, aim) => delivery(dice, aim, hostileProperties(dice)),
};

function hostileProperties(dice: Dice): Fields {
  const own = JSON.parse('{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}}}') as Fields;
  const forged = {
    'eb-attempt': dice.pick<unknown>([-1, 1e9, 'x', null, [1]]),
    'eb-topic': 'admin',
    'x-death': dice.text(),
  };
  return {
    headers: dice.pick<Fields>([
      own,
      forged,
      nested(1 + dice.int(200)),
      { list: [[[null]]], nothing: null, big: 2 ** 60 },
    ]),
    messageId: dice.text(),
    contentType: dice.pick(['application/json', 'application/x-v8', dice.text()]),
    contentEncoding: dice.text(),
    type: dice.text(),
    timestamp: dice.pick([0, 2 ** 52, 1]),
    replyTo: dice.text(),
    priority: dice.int(256),
  };
}

function nested(depth: number): Fields {
  let fields: Fields = {};
  for (let i = 0; i < depth; i++) fields = { n: fields };
  return fields;
}

function validFrame(dice: Dice, aim: Aim): Buffer {
  const [method, fields] = dice.pick(METHODS);
  return encodeMethod(method, aim.channel, fields(dice, aim));
}

function delivery(dice: Dice, aim: Aim, properties: Fields): Buffer {
  const body = dice.pick([Buffer.from('{"id":1}'), Buffer.from('{"id":'), Buffer.alloc(0), dice.bytes(30)]);
  const method = encodeMethod('BasicDeliver', aim.channel, deliverFields(dice, aim));
  return Buffer.concat([method, encodeContent(aim.channel, properties, body, FRAME_MAX)]);
}

function deliverFields(dice: Dice, aim: Aim): Fields {
  return {
    consumerTag: tagOf(dice, aim),
    deliveryTag: dice.pick([0, 1, dice.int(1_000), 2 ** 52]),
    redelivered: dice.int(2) === 1,
    exchange: dice.pick(['', 'events', dice.text()]),
    routingKey: dice.pick(['orders.created', dice.text()]),
  };
}

function tagOf(dice: Dice, { tags }: Aim): string {
  return dice.pick([...tags, ...tags, dice.text()]);
}

function contentHeader({ channel }: Aim, size: bigint, flagsAndFields: Buffer): Buffer {
  const head = Buffer.alloc(12);
  head.writeUInt16BE(BASIC, 0);
  head.writeBigInt64BE(size, 4);
  return rawFrame(HEADER, channel, Buffer.concat([head, flagsAndFields]));
}
