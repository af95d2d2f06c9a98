import { Injectable } from '@nestjs/common';
import { type EventContext, OnEvent } from '../../lib/index.js';

interface Shipped {
  readonly order: number;
  readonly kilos: number;
}

/** What the warehouse reports, as if it came from a service of our own: with retries, and dead letters. */
@Injectable()
export class Shipping {
  readonly shipped: number[] = [];

  @OnEvent('orders.shipped', { group: 'bookshop.shipping', retry: { delaysMs: [200] } })
  onShipped({ order, kilos }: Shipped, { message, attempt }: EventContext): void {
    console.log(`  nest   orders.shipped from ${message.source}: order ${order}, ${kilos} kg (attempt ${attempt})`);
    if (order === 2 && attempt === 1) throw new Error('no label paper');
    this.shipped.push(order);
  }
}
