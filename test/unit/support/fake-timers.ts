import { afterEach, beforeEach, jest } from '@jest/globals';

/** Fake timers for each test of the `describe` that calls it. */
export function withFakeTimers(): void {
  beforeEach(() => void jest.useFakeTimers());
  afterEach(() => void jest.useRealTimers());
}
