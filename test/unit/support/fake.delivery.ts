import { type Delivery, LazySignal, type Settlement } from '../../../lib/core/delivery.js';
import type { Message } from '../../../lib/core/message.js';
import { aMessage } from './message.js';

export interface FakeDeliveryFields {
  readonly message?: Partial<Message>;
  readonly attempt?: number;
  readonly redelivered?: boolean;
  readonly deferrals?: number;
  readonly misses?: number;
  readonly defect?: string;
  /** What `settle` gives back. Default `true`. */
  readonly answer?: boolean | Promise<boolean>;
}

/** A delivery that remembers how it was settled. */
export class FakeDelivery extends LazySignal implements Delivery {
  readonly message: Message;
  readonly attempt: number;
  readonly redelivered: boolean;
  readonly deferrals: number;
  readonly misses: number;
  readonly defect: string | undefined;
  readonly outcomes: Settlement[] = [];
  private readonly answer: boolean | Promise<boolean>;

  constructor(fields: FakeDeliveryFields = {}) {
    super();
    this.message = aMessage(fields.message);
    this.attempt = fields.attempt ?? 1;
    this.redelivered = fields.redelivered ?? false;
    this.deferrals = fields.deferrals ?? 0;
    this.misses = fields.misses ?? 0;
    this.defect = fields.defect;
    this.answer = fields.answer ?? true;
  }

  settle(outcome: Settlement): boolean | Promise<boolean> {
    this.outcomes.push(outcome);
    return this.answer;
  }
}
