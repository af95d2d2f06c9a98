import type { INestMicroservice, ModuleMetadata } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { type EventBusModuleOptions, MemoryTransport, type Transport } from '../../lib/index.js';
import {
  EventBusClient,
  type EventBusClientOptions,
  EventBusExceptionFilter,
  EventBusServer,
} from '../../lib/microservices/index.js';
import { Lab } from './lab.js';

export interface MicroserviceParts extends ModuleMetadata {
  readonly options?: EventBusModuleOptions;
  readonly tune?: (app: INestMicroservice) => void;
}

export interface Microservice {
  readonly app: INestMicroservice;
  readonly server: EventBusServer;
}

/** Applications of @nestjs/microservices and clients of theirs on one broker; in memory they share a transport. */
export class MicroserviceLab {
  readonly lab: Lab;
  readonly transport: string | Transport;
  private readonly closers: (() => Promise<unknown>)[] = [];

  constructor(readonly url: string) {
    this.lab = new Lab(url);
    this.transport = url === 'memory:' ? new MemoryTransport() : url;
    this.lab.willRemoveGroup(`${this.lab.exchange}.groups.${this.lab.service}.microservice`);
  }

  options(over: EventBusModuleOptions = {}): EventBusModuleOptions {
    return this.lab.options({ transport: this.transport, ...over });
  }

  async serve({ options, tune, ...parts }: MicroserviceParts): Promise<Microservice> {
    const server = new EventBusServer(this.options(options));
    const module = await Test.createTestingModule(parts)
      .setLogger(false as never)
      .compile();
    const app = module.createNestMicroservice({ strategy: server });
    app.useGlobalFilters(new EventBusExceptionFilter());
    tune?.(app);
    await app.listen();
    this.remember(server);
    this.onEnd(() => app.close());
    return { app, server };
  }

  client(over: EventBusClientOptions = {}): EventBusClient {
    const client = new EventBusClient({ ...this.options(), ...over });
    this.onEnd(() => client.close());
    return client;
  }

  onEnd(close: () => Promise<unknown>): void {
    this.closers.push(close);
  }

  remember(server: EventBusServer): void {
    const { groups } = server.unwrap().describe() as { readonly groups: readonly { readonly name: string }[] };
    for (const { name } of groups) this.lab.willRemoveGroup(name);
  }

  async dispose(): Promise<void> {
    for (const close of this.closers.splice(0).toReversed()) await close();
    if (typeof this.transport !== 'string') await this.transport.close();
    await this.lab.dispose();
  }
}

export function withMicroservices(url: string, test: (lab: MicroserviceLab) => Promise<void>): () => Promise<void> {
  return async () => {
    const lab = new MicroserviceLab(url);
    try {
      await test(lab);
    } finally {
      await lab.dispose();
    }
  };
}
