import { Injectable } from '@nestjs/common';
import { type EventContext, OnEvent } from '../../lib/index.js';

/** Takes what nobody else wanted: the queue behind the alternate exchange is a group like others. */
@Injectable()
export class LostAndFound {
  /** The first thing that is brought here. */
  readonly next: Promise<string>;
  private found: (what: string) => void = () => undefined;

  constructor() {
    this.next = new Promise((resolve) => {
      this.found = resolve;
    });
  }

  @OnEvent('#', { exchange: 'post.ae', group: 'post.unroutable' })
  onLost({ to }: { readonly to: string }, { topic }: EventContext): void {
    this.found(`${topic} for ${to}`);
  }
}
