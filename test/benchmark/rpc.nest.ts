import { Controller } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import {
  ClientProxyFactory,
  Ctx,
  MessagePattern,
  type MicroserviceOptions,
  Payload,
  RmqContext,
  Transport,
} from '@nestjs/microservices';
import type { Channel, ConsumeMessage } from 'amqplib';
import { lastValueFrom } from 'rxjs';

/** How many: at 44 ms each it would take too long otherwise. */
const REQUESTS = 60;

@Controller()
class NestCalculator {
  @MessagePattern('bench.next')
  next(@Payload() { n }: { n: number }, @Ctx() context: RmqContext): { n: number } {
    const channel = context.getChannelRef() as Pick<Channel, 'ack'>;
    channel.ack(context.getMessage() as ConsumeMessage);
    return { n: n + 1 };
  }
}

class NestModule {}

/**
 * Requests per second, one after the other, of `@nestjs/microservices` with acknowledgements (`noAck: false`), and else as it comes:
 * `ClientRMQ` and `@MessagePattern`.
 */
export async function measureNestRpc(url: string, queue: string): Promise<number> {
  const options = { urls: [url], queue, queueOptions: { durable: false, autoDelete: true } };

  const module = { module: NestModule, controllers: [NestCalculator] };
  const server = await NestFactory.createMicroservice<MicroserviceOptions>(module, {
    transport: Transport.RMQ,
    options: { ...options, noAck: false },
    logger: ['error', 'warn'],
  });
  await server.listen();
  const client = ClientProxyFactory.create({ transport: Transport.RMQ, options });
  const ask = async (n: number): Promise<void> => {
    const reply = await lastValueFrom(client.send<{ n: number }>('bench.next', { n }));
    if (reply.n !== n + 1) throw new Error(`${n} was answered with ${JSON.stringify(reply)}`);
  };
  await ask(0);
  const began = performance.now();
  for (let n = 1; n <= REQUESTS; n++) await ask(n);
  const rate = (REQUESTS / (performance.now() - began)) * 1_000;
  await client.close();
  await server.close();
  return rate;
}
