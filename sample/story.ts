import { Injectable, type OnApplicationBootstrap, type OnModuleDestroy } from '@nestjs/common';
import type { Subscription } from 'rxjs';
import { EventBusService } from '../lib/index.js';

/** What happens in the shop, to be read by you. */
export function say(line: string): void {
  console.log(line);
}

/** Prints every event that passes. `observe` has a private queue: it takes nothing away from the handlers. */
@Injectable()
export class EventLog implements OnApplicationBootstrap, OnModuleDestroy {
  private events?: Subscription;

  constructor(private readonly bus: EventBusService) {}

  onApplicationBootstrap(): void {
    this.events = this.bus.observe<{ orderId?: string; sku?: string } | null>('#').subscribe(({ topic, payload }) => {
      const what = payload?.orderId ? `#${payload.orderId}` : payload?.sku;
      say(`→ ${topic}${what ? ` ${what}` : ''}`);
    });
  }

  onModuleDestroy(): void {
    this.events?.unsubscribe();
  }
}
