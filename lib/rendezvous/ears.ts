import type { ControlChannel, ControlListener } from '../bus/control-channel.js';
import { type ControlBody, READY_TOPIC } from '../bus/control-wire.js';
import { pause } from '../core/deadline.js';
import type { Exchange } from '../core/exchange.js';
import { describeError } from '../core/failure.js';
import type { BusLogger } from '../core/logger.js';
import type { Message } from '../core/message.js';
import { Attention, type Release } from './attention.js';
import { LEFT, QUERY, READY, type Ready, readId, readReady } from './rendezvous.wire.js';
import type { Voice } from './voice.js';

const ASK_SPREAD_MS = 30;
/** Longer than whoever holds it waits. */
const OPEN_MS = 2 ** 31 - 1;

/** Is told what others say, within bounds and of others only. */
export interface EarsEvents {
  onReady(ready: Ready): void;
  onLeft(instanceId: string): void;
  onQuery(): void;
  /** Something may have been missed. */
  onGap(): void;
  /** Nobody listens any more. */
  onDeaf(): void;
}

export interface EarsParts {
  readonly control: ControlChannel;
  /** The main exchange. */
  readonly main: Exchange;
  readonly voice: Voice;
  /** Aborted when the bus stops. */
  readonly signal: AbortSignal;
  readonly logger: BusLogger;
}

/** Hears the other instances as long as somebody wants to hear them. */
export class Ears implements ControlListener {
  private readonly control: Attention;
  private readonly main: Attention | undefined;
  private readonly warned = new Set<string>();
  /** Whether somebody has asked since it hears: what is answered is for everybody. */
  private isInformed = false;
  private asking: Promise<void> | undefined;

  constructor(
    private readonly parts: EarsParts,
    private readonly events: EarsEvents,
  ) {
    const { control, main } = parts;
    this.control = new Attention(
      (signal) => control.listen(this, { signal, timeoutMs: OPEN_MS }),
      () => {
        this.isInformed = false;
        events.onDeaf();
      },
    );
    // of other types the control channel hears it, or it cannot be heard; here others' events may come along
    if (main.handler.type !== 'x-rtopic') return;
    const onMessage: ControlListener['onMessage'] = (kind, body, message) => {
      if (message.topic === READY_TOPIC) this.onMessage(kind, body, message);
    };
    this.main = new Attention((signal) =>
      control.listen({ onMessage }, { signal, timeoutMs: OPEN_MS, on: [{ exchange: main, pattern: READY_TOPIC }] }),
    );
  }

  /** Has the others say who they are. Many begin to wait at one time: what one of them asks is answered to all. */
  ask(): Promise<void> {
    this.asking ??= this.askOnce().finally(() => {
      this.asking = undefined;
    });
    return this.asking;
  }

  /** Hears who asks. */
  hold(timeoutMs: number, signal: AbortSignal): Promise<Release> {
    return this.control.hold(timeoutMs, signal);
  }

  /** Hears who is ready as well where other clients say so; nobody has to wait for that. */
  async watch(timeoutMs: number, signal: AbortSignal): Promise<Release> {
    const release = await this.control.hold(timeoutMs, signal);
    if (!this.main) return release;
    const stop = new AbortController();
    const heard = this.main.hold(OPEN_MS, AbortSignal.any([signal, stop.signal]));
    heard.catch((error: unknown) => {
      if (signal.aborted || stop.signal.aborted) return;
      this.warn(`Who says on "${this.parts.main.name}" that it is ready is not heard: ${describeError(error)}`);
    });
    return async () => {
      stop.abort();
      const ended = heard.then(
        (end) => end(),
        () => undefined, // told above
      );
      await Promise.all([release(), ended]);
    };
  }

  onMessage(kind: string, body: ControlBody, message: Message): void {
    if (kind !== READY && (message.topic === READY_TOPIC || (kind !== QUERY && kind !== LEFT))) return;
    const id = readId(body);
    const isOwn = id === this.parts.voice.instanceId;
    if (isOwn && !this.parts.voice.hasSaid(body)) {
      this.warn('Somebody else uses the id of this instance, which is ignored: ids are made for each process.');
      return;
    }
    if (kind === QUERY) {
      this.isInformed = true;
      // its own too: those who hear it do not ask themselves
      this.events.onQuery();
    }
    if (isOwn) return;
    if (kind === LEFT && id !== undefined) this.events.onLeft(id);
    if (kind === READY) this.onReady(body, message);
  }

  onGap(): void {
    this.isInformed = false;
    this.events.onGap();
  }

  private async askOnce(): Promise<void> {
    const { voice, signal } = this.parts;
    await pause(Math.random() * ASK_SPREAD_MS, signal);
    if (this.control.isHeld && !this.isInformed && !signal.aborted) await voice.query({ signal });
  }

  private onReady(body: ControlBody, { source }: Message): void {
    const ready = readReady(body, source, Date.now());
    if (ready) this.events.onReady(ready);
    else this.warn('An announcement of an instance is not as it should be, and is ignored, as are all others like it.');
  }

  /** Each once: strangers must not fill the log. */
  private warn(text: string): void {
    if (this.warned.has(text)) return;
    this.warned.add(text);
    this.parts.logger.warn(text);
  }
}
