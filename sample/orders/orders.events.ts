import { IsEmail, IsInt, IsString, Min } from 'class-validator';
import { Event } from '../../lib/index.js';

/** Body of `POST /orders`. */
export class PlaceOrder {
  @IsString()
  readonly sku!: string;

  @IsInt()
  @Min(1)
  readonly quantity!: number;

  @IsEmail()
  readonly email!: string;
}

/** The fact that an order was placed. The class is for us; on the wire it is its topic and plain JSON. */
@Event('orders.placed')
export class OrderPlaced extends PlaceOrder {
  @IsString()
  readonly orderId!: string;

  static of({ id, sku, quantity, email }: PlaceOrder & { readonly id: string }): OrderPlaced {
    return Object.assign(new OrderPlaced(), { orderId: id, sku, quantity, email });
  }
}
