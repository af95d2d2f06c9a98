import { withDeadline } from '../core/deadline.js';
import { EventBusError } from '../core/errors.js';
import { describeError } from '../core/failure.js';
import type { IdSource } from '../core/id-source.js';
import type { InboxStore } from '../core/inbox.js';
import { DEFAULTS } from '../core/limits.js';
import type { BusLogger } from '../core/logger.js';

/** So often at most it is said of one group that its store fails. */
const SAY_AGAIN_MS = 30_000;

export interface GroupInboxOptions {
  /** For people. */
  readonly group: string;
  /** Under which name the work is remembered. */
  readonly scope: string;
  readonly store: InboxStore;
  /** How long the handler may run. */
  readonly timeoutMs: number;
  readonly windowMs: number;
  readonly ids: IdSource;
  readonly logger: BusLogger;
}

/** The store as one group asks it. Nothing that fails there decides over a message. */
export class GroupInbox {
  private readonly said = new Map<string, number>();
  private readonly leaseMs: number;
  private readonly callMs: number;

  constructor(private readonly options: GroupInboxOptions) {
    const { timeoutMs } = options;
    // longer than a run can last: what is claimed by a run that may still end well is nobody else's
    this.leaseMs = timeoutMs + DEFAULTS.handlerGraceMs + DEFAULTS.inboxLeaseMarginMs;
    // well within the time of the handler: its timeout would count an attempt
    this.callMs = Math.min(DEFAULTS.inboxCallMs, Math.ceil(timeoutMs / 2));
  }

  /** For one run of the handler. */
  open(messageId: string): InboxClaim {
    return new InboxClaim(this, messageId, this.options.ids.next());
  }

  async claim(messageId: string, owner: string): Promise<'new' | 'done' | 'busy' | 'unknown'> {
    const { store, scope } = this.options;
    const claiming = this.asked(() => store.claim(scope, messageId, this.leaseMs, owner));
    try {
      const answer: unknown = await this.bounded(claiming);
      if (answer === 'new' || answer === 'done' || answer === 'busy') return answer;
      throw new EventBusError('INBOX', `claim() answered with something else than 'new', 'done' or 'busy'.`);
    } catch (error) {
      this.say('claim', error);
      // one that comes too late would keep everybody else waiting for the end of its lease
      const giveBack = (answer: unknown): Promise<void> | undefined =>
        answer === 'new' ? this.forget(messageId, owner) : undefined;
      claiming.then(giveBack, () => undefined); // what it fails with has been said
      return 'unknown';
    }
  }

  async done(messageId: string, owner: string): Promise<void> {
    const { store, scope, windowMs } = this.options;
    await this.tell('done', () => store.done(scope, messageId, windowMs, owner));
  }

  async forget(messageId: string, owner: string): Promise<void> {
    const { store, scope } = this.options;
    await this.tell('forget', () => store.forget(scope, messageId, owner));
  }

  private async tell(what: string, call: () => Promise<void>): Promise<void> {
    try {
      await this.bounded(this.asked(call));
    } catch (error) {
      this.say(what, error);
    }
  }

  /** A store of the user may throw as well as reject. */
  private async asked<T>(call: () => Promise<T>): Promise<T> {
    return call();
  }

  private bounded<T>(call: Promise<T>): Promise<T> {
    const { callMs } = this;
    return withDeadline(call, callMs, () => new EventBusError('INBOX', `It took longer than ${callMs} ms.`));
  }

  private say(what: string, error: unknown): void {
    const now = performance.now();
    if (now - (this.said.get(what) ?? Number.NEGATIVE_INFINITY) < SAY_AGAIN_MS) return;
    this.said.set(what, now);
    const { group, logger } = this.options;
    logger.error(`${group}: the inbox failed on ${what}: ${describeError(error)}. ${CONSEQUENCES[what]}`);
  }
}

const CONSEQUENCES: Readonly<Record<string, string>> = {
  claim: 'Messages are put off until it works again.',
  done: 'A duplicate of what was handled would be handled again.',
  forget: 'What has failed is tried again when its claim has expired.',
};

/** One run of a handler, as the inbox knows it. */
export class InboxClaim {
  constructor(
    private readonly inbox: GroupInbox,
    private readonly messageId: string,
    private readonly owner: string,
  ) {}

  /** `new`: it is ours. `unknown`: the store has failed. Never rejects, like the other two. */
  take(): Promise<'new' | 'done' | 'busy' | 'unknown'> {
    return this.inbox.claim(this.messageId, this.owner);
  }

  done(): Promise<void> {
    return this.inbox.done(this.messageId, this.owner);
  }

  forget(): Promise<void> {
    return this.inbox.forget(this.messageId, this.owner);
  }
}
