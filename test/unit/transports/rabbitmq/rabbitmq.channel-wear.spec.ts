import { beforeEach, describe, expect, it, jest } from '@jest/globals';
import { RabbitMqChannelWear } from '../../../../lib/transports/rabbitmq/rabbitmq.channel-wear.js';
import { withFakeTimers } from '../../support/fake-timers.js';

const WINDOW = 10;

describe('RabbitMqChannelWear', () => {
  withFakeTimers();
  let exchanged = 0;
  let wear: RabbitMqChannelWear;

  beforeEach(() => {
    exchanged = 0;
    wear = new RabbitMqChannelWear(WINDOW, () => {
      exchanged++;
    });
  });

  const times = (count: number, work: () => void): void => {
    for (let i = 0; i < count; i++) work();
  };

  it('does not wear by what is answered', () => {
    times(1_000, () => wear.sent());
    expect([wear.isWornOut, wear.hasUnanswered]).toEqual([false, false]);
    expect(jest.getTimerCount()).toBe(0);
  });

  it('is worn out ten windows behind one that was given up', () => {
    wear.gaveUp(false);
    times(10 * WINDOW - 1, () => wear.sent());
    expect(wear.isWornOut).toBe(false);
    wear.sent();
    expect(wear.isWornOut).toBe(true);
  });

  it('counts anew when all that was given up has been answered after all', () => {
    times(2, () => wear.gaveUp(false));
    times(10 * WINDOW - 1, () => wear.sent());
    times(2, () => wear.answered());
    expect(wear.hasUnanswered).toBe(false);
    times(10 * WINDOW, () => wear.sent());
    wear.gaveUp(false);
    times(10 * WINDOW - 1, () => wear.sent());
    expect(wear.isWornOut).toBe(false);
  });

  it('is worn out by a window of them, and by one suspect', () => {
    times(WINDOW - 1, () => wear.gaveUp(false));
    expect(wear.isWornOut).toBe(false);
    wear.gaveUp(false);
    expect(wear.isWornOut).toBe(true);
    wear.reset();
    expect(wear.isWornOut).toBe(false);
    wear.gaveUp(true);
    expect(wear.isWornOut).toBe(true);
  });

  it('is worn out by a refusal 5 s after the first one', () => {
    wear.refused();
    jest.advanceTimersByTime(4_999);
    wear.refused();
    expect(wear.isWornOut).toBe(false);
    jest.advanceTimersByTime(1);
    wear.refused();
    expect(wear.isWornOut).toBe(true);
  });

  it('is exchanged once, half a second later, unless it has been already', () => {
    wear.gaveUp(true);
    wear.gaveUp(true);
    jest.advanceTimersByTime(499);
    expect(exchanged).toBe(0);
    jest.advanceTimersByTime(1);
    expect(exchanged).toBe(1);
    wear.reset();
    wear.gaveUp(true);
    wear.reset();
    jest.advanceTimersByTime(10_000);
    expect(exchanged).toBe(1);
    expect(jest.getTimerCount()).toBe(0);
  });

  it('after an exchange that had to be forced only a suspect wears the next one out within 30 s', () => {
    const exchange = (): void => {
      jest.advanceTimersByTime(500);
      wear.reset();
    };
    times(WINDOW, () => wear.gaveUp(false));
    exchange();
    jest.advanceTimersByTime(29_000);
    times(WINDOW, () => wear.gaveUp(false));
    times(100 * WINDOW, () => wear.sent());
    expect(wear.isWornOut).toBe(false);
    jest.advanceTimersByTime(1_000);
    wear.sent();
    expect(wear.isWornOut).toBe(true);
    exchange();
    wear.gaveUp(true);
    expect(wear.isWornOut).toBe(true);
    expect(exchanged).toBe(2);
  });

  it('one that was left with nothing under way does not count as forced', () => {
    times(WINDOW, () => wear.gaveUp(false));
    wear.reset();
    times(WINDOW, () => wear.gaveUp(false));
    expect(wear.isWornOut).toBe(true);
  });
});
