import { EventEmitter } from 'node:events';
import { expect, it } from '@jest/globals';
import { RabbitMqLink } from '../../../../lib/transports/rabbitmq/rabbitmq.link.js';
import { resolveRabbitMqOptions } from '../../../../lib/transports/rabbitmq/rabbitmq.options.js';
import { RecordingLogger } from '../../support/recording.logger.js';

/** The part of a link that a driver speaks to. */
interface Inside {
  readonly manager: EventEmitter;
}

it('says once that its driver is one that cannot be guarded, and works all the same', async () => {
  const logger = new RecordingLogger();
  const options = resolveRabbitMqOptions({ type: 'rabbitmq', url: 'amqp://127.0.0.1:1' });
  const link = new RabbitMqLink(options, 'consume', 'test', logger);
  let ups = 0;
  link.listen({ onUp: () => ups++ });
  for (let i = 0; i < 3; i++) {
    (link as unknown as Inside).manager.emit('connect', { connection: { connection: new EventEmitter() } });
  }
  expect(ups).toBe(3);
  expect(logger.lines).toEqual([expect.stringMatching(/^warn: This release of amqplib is not known/)]);
  await link.close(1);
});
