import type { ChannelModel, ConfirmChannel } from 'amqplib';
import type { BacklogOptions } from '../../core/publish-backlog.js';

export interface PublisherSettings extends BacklogOptions {
  /** Unconfirmed messages in flight. */
  readonly window: number;
  /** What must stand before anything is published, after each (re)connect. */
  readonly prepare: (channel: ConfirmChannel, connection: ChannelModel) => Promise<void>;
  readonly onPrepared?: () => void;
  readonly onPrepareFailed?: (error: Error) => void;
  /** For what belongs to its channel: nothing is sent again on the next one. */
  readonly bound?: { readonly isNeeded: () => boolean; readonly onLost: () => void };
}
