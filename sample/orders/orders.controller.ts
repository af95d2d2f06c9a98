import { Body, Controller, Get, NotFoundException, Param, ParseIntPipe, Post } from '@nestjs/common';
import { EventBusService } from '../../lib/index.js';
import { PlaceOrder } from './orders.events.js';
import { type Order, OrdersService } from './orders.service.js';
import { type Price, PriceCache } from './price-cache.js';

@Controller()
export class OrdersController {
  constructor(
    private readonly orders: OrdersService,
    private readonly prices: PriceCache,
    private readonly bus: EventBusService,
  ) {}

  @Post('orders')
  place(@Body() order: PlaceOrder): Promise<Order> {
    return this.orders.place(order);
  }

  @Get('orders/:id')
  find(@Param('id') id: string): Order {
    const order = this.orders.find(id);
    if (!order) throw new NotFoundException();
    return order;
  }

  @Get('prices/:sku')
  price(@Param('sku') sku: string): Price {
    return { sku, cents: this.prices.priceOf(sku) };
  }

  @Post('prices/:sku/:cents')
  async changePrice(@Param('sku') sku: string, @Param('cents', ParseIntPipe) cents: number): Promise<Price> {
    const change: Price = { sku, cents };
    await this.bus.publish('prices.changed', change);
    return change;
  }
}
