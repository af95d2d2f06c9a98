import { Injectable } from '@nestjs/common';
import { type EventContext, OnEvent } from '../../lib/index.js';
import { MAILER_GROUP, MAILER_RETRY } from '../shop.config.js';
import type { StockDecision } from '../stock/stock.events.js';
import { say } from '../story.js';
import { Mailer } from './mailer.js';

@Injectable()
export class NotificationsService {
  constructor(private readonly mailer: Mailer) {}

  // The same events go to the orders, each with its own copy: when mails fail, nobody else sees a retry.
  @OnEvent('stock.*', { group: MAILER_GROUP, retry: MAILER_RETRY })
  async onStock({ orderId, sku, quantity, email }: StockDecision, context: EventContext): Promise<void> {
    const outcome = context.topic === 'stock.reserved' ? 'is on its way' : 'is out of stock, sorry';
    try {
      say(`✉ ${await this.mailer.send(email, `your order #${orderId}, ${quantity} × ${sku}, ${outcome}`)}`);
    } catch (error) {
      say(`✗ mail to ${email} failed (attempt ${context.attempt})`);
      throw error; // all that it takes to be retried, and to become a dead letter in the end
    }
    context.emit('mail.sent', { orderId });
  }
}
