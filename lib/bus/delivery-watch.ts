import type { Delivery, Settlement } from '../core/delivery.js';

/** Looks on, for tests: is told of every delivery that has been settled, and of every attempt of a private one. Must not throw. */
export interface DeliveryWatch {
  settled(group: string, delivery: Delivery, outcome: Settlement): void;
}
