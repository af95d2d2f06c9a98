import type { ControlBody } from '../bus/control-wire.js';
import { LIMITS } from '../core/limits.js';
import type { Member } from './member.js';

/*
 * On the control channel an instance says `ready` when it has announced itself, when a third of its lease has passed, and when
 * somebody asks; `rendezvous.query` asks, `rendezvous.left` takes it back. Other clients know `ready` alone, without a lease, and
 * publish it on the main exchange under the topic `sys.rendezvous.ready`: times are seconds since 1970, as they have them.
 */

export const READY = 'ready';
export const QUERY = 'rendezvous.query';
export const LEFT = 'rendezvous.left';

/** How long those count who name no lease: they never say it again. */
const UNRENEWED_MS = LIMITS.leaseMaxMs;
/** Larger ones are no times. */
const LAST_SECOND = 8_640_000_000_000;

/** Whether it can be a role, or the id of an instance. */
export function isName(value: unknown): value is string {
  return typeof value === 'string' && value !== '' && value.length <= LIMITS.roleLength;
}

export interface Ready {
  readonly member: Member;
  readonly leaseMs: number;
  /** Other clients do not say since when: the time at which they are heard stands for it. */
  readonly isSinceTold: boolean;
}

/** @param ts when it is sent, in milliseconds since 1970: with the id it is told by it who has sent it */
export function writeReady({ instanceId, service, roles, since }: Member, leaseMs: number, ts: number): ControlBody {
  return { roles, instance_id: instanceId, ts: ts / 1_000, service, since: since / 1_000, lease_ms: leaseMs };
}

export function writeId(instanceId: string, ts: number): ControlBody {
  return { instance_id: instanceId, ts: ts / 1_000 };
}

/** Undefined for what is none. */
export function readId({ instance_id: id }: ControlBody): string | undefined {
  return isName(id) ? id : undefined;
}

/** When it was sent, by the sender's clock. */
export function readTs({ ts }: ControlBody): number | undefined {
  return typeof ts === 'number' ? Math.round(ts * 1_000) : undefined;
}

/**
 * Within bounds, whatever was sent; undefined for what is no announcement.
 *
 * @param source service of whoever published it, if the body names none
 * @param now milliseconds since 1970
 */
export function readReady(body: ControlBody, source: string | undefined, now: number): Ready | undefined {
  const instanceId = readId(body);
  const { roles, service = source ?? '', since, lease_ms: lease } = body;
  if (instanceId === undefined || !Array.isArray(roles)) return undefined;
  if (roles.length > LIMITS.roles || !roles.every(isName)) return undefined;
  const isSinceTold = isTime(since);
  return {
    member: Object.freeze({
      instanceId,
      service: isName(service) ? service : '',
      roles: Object.freeze([...new Set<string>(roles)]),
      since: isSinceTold ? Math.round(since * 1_000) : now,
    }),
    leaseMs:
      typeof lease === 'number' && !Number.isNaN(lease)
        ? Math.min(Math.max(lease, LIMITS.leaseMinMs), LIMITS.leaseMaxMs)
        : UNRENEWED_MS,
    isSinceTold,
  };
}

function isTime(seconds: unknown): seconds is number {
  return typeof seconds === 'number' && seconds >= 0 && seconds <= LAST_SECOND;
}
