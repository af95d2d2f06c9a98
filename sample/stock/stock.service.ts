import { Injectable, UsePipes, ValidationPipe } from '@nestjs/common';
import { type EventContext, OnEvent } from '../../lib/index.js';
import { OrderPlaced } from '../orders/orders.events.js';
import { STOCK } from '../shop.config.js';
import type { StockDecision } from './stock.events.js';

type Decision = 'stock.reserved' | 'stock.rejected';

@Injectable()
export class StockService {
  /** Stands for a database. */
  private readonly left = new Map(Object.entries(STOCK));
  private readonly decisions = new Map<string, Decision>();

  // Nest's pipes work as on HTTP. A payload that they refuse is dead-lettered at once: trying again cannot mend it.
  @OnEvent(OrderPlaced)
  @UsePipes(ValidationPipe)
  onOrder(order: OrderPlaced, context: EventContext): void {
    const { orderId, sku, quantity, email } = order;
    const decision: StockDecision = { orderId, sku, quantity, email };
    // Sent only if this method succeeds, and before the order counts as handled: an answer is never lost.
    context.emit(this.decide(order), decision);
  }

  /** A message can come twice (at least once): the second time gets the same answer and takes nothing more. */
  private decide({ orderId, sku, quantity }: OrderPlaced): Decision {
    const earlier = this.decisions.get(orderId);
    if (earlier) return earlier;
    const left = this.left.get(sku) ?? 0;
    const decision = left >= quantity ? 'stock.reserved' : 'stock.rejected';
    if (decision === 'stock.reserved') this.left.set(sku, left - quantity);
    this.decisions.set(orderId, decision);
    return decision;
  }
}
