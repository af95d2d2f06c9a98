import { Command, Event } from '../../lib/index.js';

export interface Receipt {
  readonly order: number;
  readonly cents: number;
}

/** Its answer is a Receipt: `await bus.request(new PlaceOrder('tea', 2))` has that type. */
@Event('orders.place')
export class PlaceOrder extends Command<Receipt> {
  constructor(
    readonly article: string,
    readonly quantity: number,
  ) {
    super();
  }
}

/** Takes longer than anybody wants to wait. */
@Event('reports.make')
export class MakeReport extends Command<string> {
  constructor(readonly year: number) {
    super();
  }
}

export interface Quote {
  readonly cents: number;
  /** How much time the carrier had for its answer. */
  readonly leftMs: number;
}

@Event('deliveries.quote')
export class QuoteDelivery extends Command<Quote> {
  constructor(readonly city: string) {
    super();
  }
}

/** What a delivery asks in its turn. */
@Event('carriers.ask')
export class AskCarrier extends Command<Quote> {
  constructor(readonly city: string) {
    super();
  }
}

export interface Row {
  readonly number: number;
}

/** Its answer is many Rows, for `bus.requestStream`. */
@Event('orders.export')
export class ExportOrders extends Command<Row> {
  constructor(readonly rows: number) {
    super();
  }
}
