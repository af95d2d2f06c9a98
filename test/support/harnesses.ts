import { afterEach } from '@jest/globals';
import { Module, type Type } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { EventBusModule, type EventBusModuleOptions, type EventBusService } from '../../lib/index.js';
import { EventBusTestHarness } from '../../lib/testing/index.js';
import { RecordingLogger } from '../unit/support/recording.logger.js';

export interface Harnessed<T> {
  readonly harness: EventBusTestHarness;
  readonly bus: EventBusService;
  readonly handler: T;
}

/** To be called in a `describe`: starts harnesses of an application with one provider, and closes them after each test. */
export function useHarnesses(): <T>(provider: Type<T>, options?: EventBusModuleOptions) => Promise<Harnessed<T>> {
  const harnesses: EventBusTestHarness[] = [];
  afterEach(() => Promise.all(harnesses.splice(0).map((harness) => harness.close())));
  return async (provider, options = {}) => {
    @Module({
      imports: [EventBusModule.forRoot({ service: 'shop', logger: new RecordingLogger(), ...options })],
      providers: [provider],
    })
    class AppModule {}
    const harness = await EventBusTestHarness.create(Test.createTestingModule({ imports: [AppModule] }));
    harnesses.push(harness);
    return { harness, bus: harness.bus, handler: harness.get(provider) };
  };
}
