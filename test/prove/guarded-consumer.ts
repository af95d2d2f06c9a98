import 'reflect-metadata';
import { type INestApplicationContext, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { connect } from 'amqplib';
import { type BusLogger, DeadLetterService, EventBusModule, EventBusService } from '../../lib/index.js';
import type { Aim, Consumer } from './attacks.proof.js';
import { noEffects, observe } from './bare-consumer.js';

const EXCHANGE = 'attacks-bus';

/** The same handler behind the bus. */
export class GuardedConsumer implements Consumer {
  readonly effects = noEffects();
  readonly aim: Aim;
  /** At the end. */
  dead = 0;
  private readonly logger: BusLogger = {
    log: (line) => this.onLine(line),
    warn: (line) => this.onLine(line),
    error: () => undefined, // each dead letter is told
  };

  private app: INestApplicationContext | undefined;

  private constructor(
    url: string,
    private readonly group: string,
  ) {
    this.aim = { url, exchange: EXCHANGE, routingKey: `${group}.created`, victim: `${group}.victim` };
  }

  static async start(url: string, group: string): Promise<GuardedConsumer> {
    const consumer = new GuardedConsumer(url, group);
    await consumer.open();
    return consumer;
  }

  async countDead(): Promise<number> {
    this.dead = (await this.app?.get(DeadLetterService).count(this.group)) ?? 0;
    return this.dead;
  }

  async close(): Promise<void> {
    await this.app?.close();
  }

  private async open(): Promise<void> {
    const connection = await connect(this.aim.url);
    await (await connection.createChannel()).assertQueue(this.aim.victim);
    await connection.close();
    const { logger } = this;
    @Module({
      imports: [EventBusModule.forRoot({ service: 'attacks', exchange: EXCHANGE, transport: this.aim.url, logger })],
    })
    class AttackedModule {}
    this.app = await NestFactory.createApplicationContext(AttackedModule, { logger: false, abortOnError: false });
    await this.app.get(EventBusService).subscribe(
      `${this.group}.*`,
      (payload, { headers, topic, attempt }) => {
        observe(this.effects, payload, headers, topic, this.aim.routingKey, attempt);
      },
      { group: this.group, retry: { delaysMs: [20, 20] } },
    );
  }

  /** A connection or a channel that goes is told, and so is a consumer that had to come back. */
  private onLine(line: string): void {
    if (/connection|channel|consuming again|cannot consume/.test(line)) this.effects.breakdowns++;
  }
}
