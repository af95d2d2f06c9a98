import { setTimeout as sleep } from 'node:timers/promises';
import { Injectable } from '@nestjs/common';
import { OnCommand } from '../../lib/index.js';
import { PlaceOrder, type Receipt } from './kiosk.commands.js';

/** The caller gets its name, message, code and details; never its stack, unless the bus is told to. */
class OutOfStock extends Error {
  override readonly name = 'OutOfStock';
  readonly code = 'OUT_OF_STOCK';
  readonly details: { readonly left: number };

  constructor(article: string, left: number) {
    super(`not enough ${article}`);
    this.details = { left };
  }
}

/** What a method returns is the answer, and what it throws as well. */
@Injectable()
export class Orders {
  /** So many orders were in work at one time, at most. */
  busiest = 0;
  private running = 0;
  private placed = 0;
  private readonly stock = new Map([
    ['tea', 100],
    ['cups', 3],
  ]);

  @OnCommand(PlaceOrder)
  async place({ article, quantity }: PlaceOrder): Promise<Receipt> {
    this.busiest = Math.max(this.busiest, ++this.running);
    try {
      await sleep(20);
      const left = this.stock.get(article) ?? 0;
      if (left < quantity) throw new OutOfStock(article, left);
      this.stock.set(article, left - quantity);
      return { order: ++this.placed, cents: quantity * 250 };
    } finally {
      this.running--;
    }
  }
}
