import { randomUUID } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import { EventBusService, type EventContext, OnEvent } from '../../lib/index.js';
import { OrderPlaced, type PlaceOrder } from './orders.events.js';
import { PriceCache } from './price-cache.js';

export interface Order extends PlaceOrder {
  readonly id: string;
  readonly cents: number;
  readonly state: 'placed' | 'reserved' | 'rejected';
  readonly mailed: boolean;
}

const PROGRESS: Readonly<Record<string, Partial<Order>>> = {
  'stock.reserved': { state: 'reserved' },
  'stock.rejected': { state: 'rejected' },
  'mail.sent': { mailed: true },
};

@Injectable()
export class OrdersService {
  private readonly orders = new Map<string, Order>();

  constructor(
    private readonly bus: EventBusService,
    private readonly prices: PriceCache,
  ) {}

  async place({ sku, quantity, email }: PlaceOrder): Promise<Order> {
    // Random, so that what an earlier run left in the queues of a real broker is not taken for ours.
    const id = randomUUID().slice(0, 8);
    const cents = this.prices.priceOf(sku) * quantity;
    const order: Order = { id, sku, quantity, email, cents, state: 'placed', mailed: false };
    this.orders.set(id, order); // first, because the stock may answer before `publish` returns
    await this.bus.publish(OrderPlaced.of(order)); // returns when the broker has taken responsibility, else throws
    return order;
  }

  find(id: string): Order | undefined {
    return this.orders.get(id);
  }

  // What an instance keeps in its memory only that instance can bring up to date, so each one is told. With a database
  // leave `delivery` out: one instance is told, and again if it fails or dies.
  @OnEvent(['stock.*', 'mail.sent'], { delivery: 'broadcast' })
  onProgress({ orderId }: { readonly orderId: string }, { topic }: EventContext): void {
    const order = this.orders.get(orderId);
    if (order) this.orders.set(orderId, { ...order, ...PROGRESS[topic] }); // else another instance took the order
  }
}
