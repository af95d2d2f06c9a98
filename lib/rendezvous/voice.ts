import { randomUUID } from 'node:crypto';
import type { ControlChannel, ControlSendOptions } from '../bus/control-channel.js';
import type { ControlBody } from '../bus/control-wire.js';
import type { Member } from './member.js';
import { LEFT, QUERY, READY, readTs, writeId, writeReady } from './rendezvous.wire.js';

/** By which it knows its own messages again. */
const REMEMBERED = 256;

/** What this instance says, under an id of its own. */
export class Voice {
  readonly instanceId = randomUUID();
  private readonly said = new Set<number>();
  private last = 0;

  constructor(private readonly control: Pick<ControlChannel, 'send'>) {}

  ready(member: Member, leaseMs: number, options: ControlSendOptions): Promise<void> {
    return this.control.send(READY, writeReady(member, leaseMs, this.next()), options);
  }

  query(options: ControlSendOptions): Promise<void> {
    return this.control.send(QUERY, writeId(this.instanceId, this.next()), options);
  }

  left(options: ControlSendOptions): Promise<void> {
    return this.control.send(LEFT, writeId(this.instanceId, this.next()), options);
  }

  /** Whether it has said that itself, not long ago. */
  hasSaid(body: ControlBody): boolean {
    const ts = readTs(body);
    return ts !== undefined && this.said.has(ts);
  }

  /** A time, and no two are the same. */
  private next(): number {
    this.last = Math.max(this.last + 1, Date.now());
    this.said.add(this.last);
    const [oldest] = this.said;
    if (this.said.size > REMEMBERED && oldest !== undefined) this.said.delete(oldest);
    return this.last;
  }
}
