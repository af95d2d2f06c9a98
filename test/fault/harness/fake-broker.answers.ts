import type { Call } from './fake-broker.js';
import type { FakeConsumer } from './fake-broker.queue.js';
import type { FakeStore } from './fake-broker.store.js';
import type { MethodName } from './fake-broker.wire.js';

type Answer = (call: Call, store: FakeStore) => void;

const TUNE = { channelMax: 2_047, frameMax: 131_072, heartbeat: 60 };

let consumerTags = 0;

/** What a broker does with each method of a client. */
export const ANSWERS: Readonly<Partial<Record<MethodName, Answer>>> = {
  ConnectionStartOk: ({ link }) => link.send('ConnectionTune', 0, TUNE),
  ConnectionTuneOk: () => undefined,
  ConnectionOpen: ({ link }) => link.send('ConnectionOpenOk', 0),
  ConnectionClose: ({ link }) => {
    link.send('ConnectionCloseOk', 0);
    link.endSocket();
  },
  ConnectionCloseOk: ({ link }) => link.endSocket(),
  ChannelOpen: ({ channel }) => channel.send('ChannelOpenOk'),
  ChannelClose: ({ link, channel }) => {
    channel.end();
    link.channels.delete(channel.id);
    channel.send('ChannelCloseOk');
  },
  ChannelCloseOk: ({ link, channel }) => {
    channel.end();
    link.channels.delete(channel.id);
  },
  ConfirmSelect: ({ channel }) => {
    channel.isConfirming = true;
    channel.send('ConfirmSelectOk');
  },
  ExchangeDeclare: declareExchange,
  QueueDeclare: ({ link, channel, fields }, store) => {
    const { queue: name, exclusive } = fields as { readonly queue: string; readonly exclusive: boolean };
    const { entries, consumers } = store.declareQueue(name, exclusive ? link : undefined);
    channel.send('QueueDeclareOk', { queue: name, messageCount: entries.length, consumerCount: consumers.length });
  },
  QueueBind: ({ channel, fields }, store) => {
    const { queue, exchange, routingKey } = fields as Readonly<Record<'queue' | 'exchange' | 'routingKey', string>>;
    if (!store.hasExchange(exchange)) {
      channel.close(404, `NOT_FOUND - no exchange '${exchange}' in vhost '/'`);
      return;
    }
    store.bind(queue, exchange, routingKey);
    channel.send('QueueBindOk');
  },
  QueueUnbind: ({ channel, fields }, store) => {
    const { queue, exchange, routingKey } = fields as Readonly<Record<'queue' | 'exchange' | 'routingKey', string>>;
    store.unbind(queue, exchange, routingKey);
    channel.send('QueueUnbindOk');
  },
  QueueDelete: ({ channel, fields }, store) => {
    store.removeQueue(fields.queue as string);
    channel.send('QueueDeleteOk', { messageCount: 0 });
  },
  BasicQos: ({ channel, fields }) => {
    channel.prefetch = fields.prefetchCount as number;
    channel.send('BasicQosOk');
  },
  BasicConsume: consume,
  BasicCancel: ({ channel, fields }) => {
    const consumer = channel.consumers.get(fields.consumerTag as string);
    if (consumer) channel.removeConsumer(consumer);
    channel.send('BasicCancelOk', { consumerTag: fields.consumerTag });
  },
  BasicGet: get,
  BasicPublish: publish,
  BasicAck: settle,
  BasicNack: settle,
  BasicReject: settle,
};

function declareExchange({ link, channel, fields }: Call, store: FakeStore): void {
  const { exchange, type, passive } = fields as {
    readonly exchange: string;
    readonly type: string;
    readonly passive: boolean;
  };
  const current = store.typeOf(exchange);
  if (passive && current === undefined) {
    channel.close(404, `NOT_FOUND - no exchange '${exchange}' in vhost '/'`);
  } else if (!passive && !store.types.has(type)) {
    link.close(503, `COMMAND_INVALID - unknown exchange type '${type}'`);
  } else if (!passive && current !== undefined && current !== type) {
    const conflict = `inequivalent arg 'type' for exchange '${exchange}' in vhost '/'`;
    channel.close(406, `PRECONDITION_FAILED - ${conflict}: received '${type}' but current is ${quoted(current)}`);
  } else {
    if (!passive) store.declareExchange(exchange, type);
    channel.send('ExchangeDeclareOk');
  }
}

/** As Erlang writes it, inside of quotes of its own. */
function quoted(type: string): string {
  return type.includes('-') ? `''${type}''` : `'${type}'`;
}

function consume({ channel, fields }: Call, store: FakeStore): void {
  const { queue: name, noAck } = fields as { readonly queue: string; readonly noAck: boolean };
  const queue = store.find(name);
  if (!queue) {
    channel.close(404, `NOT_FOUND - no queue '${name}' in vhost '/'`);
    return;
  }
  const tag = `fake.ctag.${++consumerTags}`;
  const consumer: FakeConsumer = { tag, channel, queue, noAck, prefetch: channel.prefetch, held: 0 };
  channel.consumers.set(tag, consumer);
  queue.consumers.push(consumer);
  channel.send('BasicConsumeOk', { consumerTag: tag });
  queue.dispatch();
}

function get({ channel, fields }: Call, store: FakeStore): void {
  const { queue: name, noAck } = fields as { readonly queue: string; readonly noAck: boolean };
  const queue = store.find(name);
  if (!queue) {
    channel.close(404, `NOT_FOUND - no queue '${name}' in vhost '/'`);
    return;
  }
  const entry = queue.entries.shift();
  if (entry) channel.handOut({ tag: '', channel, queue, noAck, prefetch: 1, held: 0 }, entry, queue.entries.length);
  else channel.send('BasicGetEmpty');
}

function publish(call: Call, store: FakeStore): void {
  const { channel, message } = call;
  // before anything is delivered: its handler may publish
  const tag = channel.published;
  if (message && !store.hasExchange(message.exchange)) {
    channel.close(404, `NOT_FOUND - no exchange '${message.exchange}' in vhost '/'`);
    return;
  }
  storeMessage(call, store);
  if (channel.isConfirming) channel.confirm(tag);
}

/** All that a broker does with a message, except to confirm it. */
export function storeMessage({ channel, message }: Call, store: FakeStore): void {
  if (!message) throw new Error('Only a publish brings a message.');
  const queues = store.route(message);
  if (queues.size === 0 && message.mandatory) channel.returnMessage(message);
  for (const queue of queues) queue.push(message);
}

function settle({ channel, method, fields }: Call): void {
  const { deliveryTag, multiple, requeue } = fields as Readonly<Record<string, unknown>>;
  const isRequeued = method !== 'BasicAck' && requeue === true;
  if (channel.settle(deliveryTag as number, multiple === true, isRequeued)) return;
  channel.close(406, `PRECONDITION_FAILED - unknown delivery tag ${String(deliveryTag)}`);
}
