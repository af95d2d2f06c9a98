import { Injectable } from '@nestjs/common';
import { EventBusService, type EventContext, OnCommand } from '../../lib/index.js';
import { AskCarrier, type Quote, QuoteDelivery } from './kiosk.commands.js';

@Injectable()
export class Deliveries {
  constructor(private readonly bus: EventBusService) {}

  /** Would wait for 10 s; but whoever waits for this one waits for 2 s, and longer makes no sense. */
  @OnCommand(QuoteDelivery)
  quote({ city }: QuoteDelivery): Promise<Quote> {
    return this.bus.request(new AskCarrier(city), { timeoutMs: 10_000 });
  }

  @OnCommand(AskCarrier)
  ask({ city }: AskCarrier, { message }: EventContext): Quote {
    return { cents: city.length * 100, leftMs: (message.expiresAt ?? Number.POSITIVE_INFINITY) - Date.now() };
  }
}
