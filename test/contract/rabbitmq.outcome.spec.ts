import { it } from '@jest/globals';
import { isReachable, RABBITMQ } from '../support/brokers.js';
import { describeLevel } from '../support/contract.suite.js';
import { createRabbitMqHarness } from '../support/rabbitmq.harness.js';

if (await isReachable(RABBITMQ)) {
  const harness = await createRabbitMqHarness(RABBITMQ.url);
  describeLevel('RabbitMQ', harness, 'outcome');
} else it.todo('needs a broker');
