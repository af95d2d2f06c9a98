import { Module } from '@nestjs/common';
// In your own application: from 'nestjs-event-bus'.
import { EventBusModule } from '../lib/index.js';
import { NotificationsModule } from './notifications/notifications.module.js';
import { OrdersModule } from './orders/orders.module.js';
import { BUS } from './shop.config.js';
import { StockModule } from './stock/stock.module.js';
import { EventLog } from './story.js';

/** The features do not import each other's modules: events are all that they share. The bus is global. */
@Module({
  imports: [EventBusModule.forRoot(BUS), OrdersModule, StockModule, NotificationsModule],
  providers: [EventLog],
})
export class AppModule {}
