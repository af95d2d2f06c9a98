import { Injectable } from '@nestjs/common';
import { OnEvent } from '../../lib/index.js';
import { PRICES_IN_CENTS } from '../shop.config.js';
import { say } from '../story.js';

export interface Price {
  readonly sku: string;
  readonly cents: number;
}

/** Prices that every instance of the shop keeps in its own memory. */
@Injectable()
export class PriceCache {
  private readonly cents = new Map(Object.entries(PRICES_IN_CENTS));

  priceOf(sku: string): number {
    return this.cents.get(sku) ?? 0;
  }

  // A shared handler would tell one instance only, and the others would go on with the old price.
  @OnEvent('prices.changed', { delivery: 'broadcast' })
  refresh({ sku, cents }: Price): void {
    this.cents.set(sku, cents);
    say(`⟳ this instance now knows the new price of a ${sku}: ${cents} cents`);
  }
}
