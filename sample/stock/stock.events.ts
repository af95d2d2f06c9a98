import type { OrderPlaced } from '../orders/orders.events.js';

/** Payload of `stock.reserved` and `stock.rejected`: all that a listener needs, so that nobody has to ask back. */
export type StockDecision = Pick<OrderPlaced, 'orderId' | 'sku' | 'quantity' | 'email'>;
