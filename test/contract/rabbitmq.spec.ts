import { it } from '@jest/globals';
import { isReachable, RABBITMQ } from '../support/brokers.js';
import { describeContract } from '../support/contract.suite.js';
import { createRabbitMqHarness } from '../support/rabbitmq.harness.js';

if (await isReachable(RABBITMQ)) describeContract('RabbitMQ', await createRabbitMqHarness(RABBITMQ.url), 0);
else it.todo('needs a broker');
