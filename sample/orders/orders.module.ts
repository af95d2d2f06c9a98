import { Module } from '@nestjs/common';
import { OrdersController } from './orders.controller.js';
import { OrdersService } from './orders.service.js';
import { PriceCache } from './price-cache.js';

@Module({ controllers: [OrdersController], providers: [OrdersService, PriceCache] })
export class OrdersModule {}
