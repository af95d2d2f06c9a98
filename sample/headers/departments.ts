import { setTimeout as sleep } from 'node:timers/promises';
import { Injectable } from '@nestjs/common';
import { OnEvent } from '../../lib/index.js';

interface Document {
  readonly title: string;
}

const exchange = 'archive.documents';

/** Three handlers, each with a queue of its own: the pattern says nothing here, the headers all. */
@Injectable()
export class Departments {
  readonly inboxes = new Map<string, string[]>([
    ['engineering drawings', []],
    ['long or urgent', []],
    ['of known length', []],
  ]);
  private lastAt = Date.now();

  /** Both must be there and equal. */
  @OnEvent('', { exchange, headers: { format: 'pdf', department: 'engineering' }, match: 'all' })
  onDrawing(document: Document): void {
    this.keep('engineering drawings', document);
  }

  /** One of them is enough. The type counts: 120 is not '120'. */
  @OnEvent('', { exchange, headers: { pages: 120, urgent: true }, match: 'any' })
  onPressing(document: Document): void {
    this.keep('long or urgent', document);
  }

  /** `null`: the header must be there, whatever it says. */
  @OnEvent('', { exchange, headers: { pages: null, urgent: null }, match: 'any' })
  onMeasured(document: Document): void {
    this.keep('of known length', document);
  }

  /** Resolves when nothing has come for a while. */
  async quiet(): Promise<void> {
    while (Date.now() - this.lastAt < 300) await sleep(50);
  }

  private keep(inbox: string, { title }: Document): void {
    this.lastAt = Date.now();
    this.inboxes.get(inbox)?.push(title);
  }
}
