import { expect } from '@jest/globals';
import { Injectable } from '@nestjs/common';
import { type EventBusModuleOptions, type EventBusService, OnEvent, type OnEventOptions } from '../../../lib/index.js';
import type { Log } from '../../../lib/testing/contract/log.js';
import { Lab } from '../../support/lab.js';
import { FakeBroker } from './fake-broker.js';
import type { FakeMessage } from './fake-broker.queue.js';

/** The smallest that the option allows, so that a silent broker is noticed soon. */
export const HEARTBEAT_MS = 1_000;

/** A lab that leaves nothing behind, as its broker goes with it. */
export class FakeBrokerLab extends Lab {
  constructor(private readonly brokerUrl: string) {
    super('memory:');
  }

  override options(over: EventBusModuleOptions = {}): EventBusModuleOptions {
    return super.options({ transport: this.brokerUrl, ...over });
  }
}

export interface FakeLab {
  readonly lab: Lab;
  readonly broker: FakeBroker;
}

/** Options of a bus on `url` that notices a silent broker soon. */
export function quickOptions(url: string, over: EventBusModuleOptions = {}): EventBusModuleOptions {
  const transport = { type: 'rabbitmq', url, heartbeatMs: HEARTBEAT_MS, connectTimeoutMs: 1_000 };
  return { transport, ...over };
}

/** Runs a test with a fake broker and a lab for buses on it, and fails it for what went wrong in the fake. */
export function withFakeBroker(test: (parts: FakeLab) => Promise<void>): () => Promise<void> {
  return async () => {
    const broker = await new FakeBroker().listen();
    const lab = new FakeBrokerLab(broker.url);
    try {
      await test({ lab, broker });
      expect(broker.failures).toEqual([]);
    } finally {
      await lab.dispose();
      await broker.close();
    }
  };
}

/** Handles `orders.*`, in the group `<service>.OrderListener.on`. */
export function orderListener(
  seen: Log<unknown>,
  options: OnEventOptions = {},
  work: (payload: unknown) => Promise<void> | void = () => undefined,
) {
  @Injectable()
  class OrderListener {
    @OnEvent('orders.*', options)
    async on(payload: unknown): Promise<void> {
      seen.add(payload);
      await work(payload);
    }
  }
  return OrderListener;
}

export function groupOf(lab: Lab): string {
  return `${lab.service}.OrderListener.on`;
}

/** Publishes that are not settled. */
export function pendingOf(bus: EventBusService): number {
  const { transport } = bus.describe() as { readonly transport: { readonly publish: { readonly pending: number } } };
  return transport.publish.pending;
}

export function warnings(lab: Lab): readonly string[] {
  return lab.lines.filter((line) => line.startsWith('warn '));
}

/** An event as a queue of the broker holds it. */
export function storedEvent(payload: unknown, topic = 'orders.created', exchange = 'events'): FakeMessage {
  const properties = { messageId: `stored-${String(payload)}`, contentType: 'application/json', headers: {} };
  return { exchange, routingKey: topic, mandatory: false, properties, body: Buffer.from(JSON.stringify(payload)) };
}

/** How a publish ended, and when. */
export async function outcomeOf<T>(
  work: Promise<T>,
): Promise<{ readonly value?: T; readonly error?: Error; readonly ms: number }> {
  const begin = Date.now();
  try {
    const value = await work;
    return { value, ms: Date.now() - begin };
  } catch (error) {
    return { error: error as Error, ms: Date.now() - begin };
  }
}

export function range(count: number): readonly number[] {
  return Array.from({ length: count }, (_, i) => i);
}

/** Deliveries that consumers of a queue hold. */
export function heldOf(broker: FakeBroker, queue: string): number {
  return broker.store.consumersOf(queue).reduce((sum, { held }) => sum + held, 0);
}
