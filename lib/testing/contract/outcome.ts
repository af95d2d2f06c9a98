import assert from 'node:assert/strict';
import type { Type } from '@nestjs/common';
import type { DeadLetter } from '../../bus/dead-letter.service.js';
import type { AppBench, AppParts, TestApp } from './app.bench.js';
import { quiet, until } from './until.js';

/** Boots with one class that has the handler `on` of `order`, and publishes one event. */
async function publishTo(bench: AppBench, type: Type, parts: AppParts, payload: unknown): Promise<TestApp> {
  const { service = bench.name } = parts.options ?? {};
  // applications of one case that are different services must not get each other's events
  const exchange = `${service}.events`;
  bench.willRemove(exchange, `${exchange}.broadcast`);
  const options = { ...parts.options, exchange };
  const isController = parts.controllers?.includes(type) ?? false;
  const providers = isController ? (parts.providers ?? []) : [type, ...(parts.providers ?? [])];
  const app = await bench.start({ ...parts, providers, options });
  await app.bus.publish('order', payload);
  return app;
}

/** The event of the handler `on` of `type` is acknowledged: counted as handled once, and nothing is left of it. */
export async function assertAcked(
  bench: AppBench,
  type: Type,
  parts: AppParts = {},
  payload: unknown = 1,
): Promise<TestApp> {
  const app = await publishTo(bench, type, parts, payload);
  const group = app.groupOf(type, 'on');
  await until('the event is handled', () => app.statsOf(group).handled > 0);
  await quiet();
  const { handled, retried, deadLettered } = app.statsOf(group);
  assert.deepEqual({ handled, retried, deadLettered }, { handled: 1, retried: 0, deadLettered: 0 });
  assert.equal(await app.deadLetters.count(group), 0);
  return app;
}

/** The event of the handler `on` of `type` is dead-lettered, for this reason and after so many attempts. */
export async function assertDead(
  bench: AppBench,
  type: Type,
  expected: { readonly reason: string; readonly attempts: number; readonly error?: RegExp },
  parts: AppParts = {},
  payload: unknown = 1,
): Promise<DeadLetter> {
  const app = await publishTo(bench, type, parts, payload);
  const group = app.groupOf(type, 'on');
  const [letter] = await app.buried(group);
  assert.ok(letter);
  const { reason, attempts, error } = letter;
  const { error: text, ...plain } = expected;
  assert.deepEqual({ reason, attempts }, plain, error?.message);
  if (text) assert.match(error?.message ?? '', text);
  assert.equal(app.statsOf(group).handled, 0);
  return letter;
}

/** What the retry policy of these cases makes of an error that stays. */
export const EXHAUSTED = Object.freeze({ reason: 'attempts-exhausted', attempts: 3 });
