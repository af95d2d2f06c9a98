import { Injectable } from '@nestjs/common';
import { OnEvent } from '../../lib/index.js';

/** Stands for a mail server that is out of order for one domain. */
@Injectable()
export class Mailer {
  private isBroken = true;

  async send(to: string, text: string): Promise<string> {
    if (this.isBroken && to.endsWith('@bounce.example')) throw new Error('550 the mail server refuses bounce.example');
    return `to ${to}: ${text}`;
  }

  @OnEvent('mailer.switched', { delivery: 'broadcast' })
  onSwitched({ isBroken }: { readonly isBroken: boolean }): void {
    this.isBroken = isBroken;
  }
}
