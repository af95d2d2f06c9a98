import { expect, it } from '@jest/globals';
import { HeldDelays } from '../../../lib/testing/kit/held-delays.js';
import { aMessage } from '../support/message.js';

it('what one that is due takes back does not come, though it is due as well', () => {
  const held = new HeldDelays(() => undefined);
  const delays = held.of('bus');
  const came: string[] = [];
  const what = { group: 'g', attempt: 2, message: aMessage() };
  delays.later(what, 10, () => {
    came.push('first');
    takeBack();
  });
  const takeBack = delays.later(what, 20, () => came.push('second'));
  held.stop();
  held.moveTo(held.now + 30);
  held.go();
  expect(came).toEqual(['first']);
  expect(held.pending('bus')).toEqual([]);
});
