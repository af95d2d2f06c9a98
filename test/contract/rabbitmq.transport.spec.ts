import { it } from '@jest/globals';
import { isReachable, RABBITMQ } from '../support/brokers.js';
import { describeLevel, describeWhole } from '../support/contract.suite.js';
import { createRabbitMqHarness } from '../support/rabbitmq.harness.js';

if (await isReachable(RABBITMQ)) {
  const harness = await createRabbitMqHarness(RABBITMQ.url);
  describeLevel('RabbitMQ', harness, 'transport');
  describeWhole('RabbitMQ', harness, 0);
} else it.todo('needs a broker');
