import { EventEmitter } from 'node:events';
import { Injectable } from '@nestjs/common';
import { OnCommand } from '../../lib/index.js';
import { ExportOrders, type Row } from './kiosk.commands.js';

/** Gives a long answer row by row, so that nobody has to hold all of it. */
@Injectable()
export class Archive {
  /** Tells the sample `ended`. */
  readonly events = new EventEmitter();
  given = 0;

  @OnCommand(ExportOrders)
  async *export({ rows }: ExportOrders): AsyncGenerator<Row> {
    try {
      while (this.given < rows) yield { number: ++this.given };
    } finally {
      console.log(`  the handler: its stream has ended, after ${this.given} of ${rows} rows`);
      this.events.emit('ended');
    }
  }
}
