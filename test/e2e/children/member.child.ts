import 'reflect-metadata';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { EventBusModule, RendezvousService } from '../../../lib/index.js';

// Is ready as a worker until something ends it.
const { TARGET = '', SERVICE = '', EXCHANGE = '', LEASE_MS = '' } = process.env;
const rendezvous = { leaseMs: Number(LEASE_MS) };

@Module({ imports: [EventBusModule.forRoot({ service: SERVICE, exchange: EXCHANGE, transport: TARGET, rendezvous })] })
class AppModule {}

const app = await NestFactory.createApplicationContext(AppModule, { logger: false });
app.enableShutdownHooks();
await app.get(RendezvousService).announceReady(['worker', `pid.${process.pid}`]);
