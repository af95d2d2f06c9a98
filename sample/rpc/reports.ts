import { EventEmitter } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { Injectable } from '@nestjs/common';
import { type EventContext, OnCommand } from '../../lib/index.js';
import { MakeReport } from './kiosk.commands.js';

/** Works until it is done, or nobody waits any more. */
@Injectable()
export class Reports {
  /** Tells the sample `begun` and `aborted`, so that its lines come in order. */
  readonly events = new EventEmitter();

  @OnCommand(MakeReport)
  async make({ year }: MakeReport, { signal }: EventContext): Promise<string> {
    this.events.emit('begun');
    try {
      await sleep(30_000, undefined, { signal });
    } catch (error) {
      console.log(`  the handler: aborted. ${String(signal.reason)}`);
      this.events.emit('aborted');
      throw error;
    }
    return `all of ${year}`;
  }
}
