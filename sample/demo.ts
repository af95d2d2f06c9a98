import { setTimeout as sleep } from 'node:timers/promises';
import type { DeadLetter } from '../lib/index.js';
import type { Order } from './orders/orders.service.js';
import type { Price } from './orders/price-cache.js';
import { say } from './story.js';

const PATIENCE_MS = 20_000;

/** Uses the shop as its customers and operators do, over HTTP. Throws when something does not come out as told. */
export async function runDemo(url: string): Promise<void> {
  async function call<T>(method: 'GET' | 'POST', path: string, body?: object): Promise<T> {
    const response = await fetch(`${url}${path}`, {
      method,
      headers: { 'content-type': 'application/json' },
      ...(body && { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
    return (text === '' ? undefined : JSON.parse(text)) as T;
  }
  const order = (sku: string, email: string): Promise<Order> => call('POST', '/orders', { sku, quantity: 2, email });
  const mailed = ({ id }: Order): Promise<Order> =>
    until(`the mail for #${id}`, async () => {
      const now = await call<Order>('GET', `/orders/${id}`);
      return now.mailed && now.state !== 'placed' ? now : undefined;
    });

  say('\n1. A price changes: every instance hears of it');
  await call('POST', '/prices/keyboard/7900');
  await until('the new price', async () => {
    const { cents } = await call<Price>('GET', '/prices/keyboard');
    return cents === 7_900 || undefined;
  });

  say('\n2. Three orders: a good one, one that is out of stock, one whose mail bounces');
  const good = await order('keyboard', 'ada@shop.example');
  const soldOut = await order('monitor', 'bob@shop.example');
  const bouncing = await order('mouse', 'eve@bounce.example');
  for (const one of await Promise.all([mailed(good), mailed(soldOut)]))
    say(`= order #${one.id} for ${one.cents} cents is ${one.state}`);
  const letter = await until('the dead letter', async () => {
    const letters = await call<readonly DeadLetter[]>('GET', '/dead-letters');
    return letters.find(
      ({ payload }) => (payload as { orderId?: unknown } | null | undefined)?.orderId === bouncing.id,
    );
  });
  say(`☠ dead letter: ${letter.topic} #${bouncing.id}, ${letter.attempts} attempts: ${letter.error?.message}`);

  say('\n3. The mailer is repaired and the dead letter replayed');
  await call('POST', '/mailer/repair');
  await call('POST', '/dead-letters/replay', { ids: [letter.id] });
  const { id, state } = await mailed(bouncing);
  say(`= order #${id} is ${state}, and its mail was delivered after all`);

  await call('POST', '/mailer/break'); // so that you can try it yourself
  say('\ndemo finished');
}

/** Asks until there is an answer. */
async function until<T>(what: string, ask: () => Promise<T | undefined>): Promise<T> {
  const end = Date.now() + PATIENCE_MS;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined) return answer;
    if (Date.now() > end) throw new Error(`${what} did not come within ${PATIENCE_MS} ms`);
    await sleep(50);
  }
}
