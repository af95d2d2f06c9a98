import { expect } from '@jest/globals';
// In your own application: from 'nestjs-event-bus/testing'.
import { type EventBusMatchers, eventBusMatchers } from '../../lib/testing/index.js';

// Once for all specs: import this file, or name it in `setupFilesAfterEnv`.
expect.extend(eventBusMatchers);

declare module 'expect' {
  interface Matchers<R extends void | Promise<void>, T = unknown> extends EventBusMatchers<R> {}
}
