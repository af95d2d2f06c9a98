import 'reflect-metadata';
import { expect, it } from '@jest/globals';
import { Injectable } from '@nestjs/common';
import { type EventBusModuleOptions, OnEvent } from '../../lib/index.js';
import { until } from '../../lib/testing/contract/until.js';
import { waitingIn } from './harness/by-hand.js';
import { range } from './harness/fake-broker.lab.js';
import { OwnBroker } from './harness/own-broker.js';

const EVENTS = 500;
const TIMES = 5;
const TEST_MS = 60_000;
const own = new OwnBroker();

own.suite('many acknowledgements just before the end', () => {
  it(
    'all count: nothing that was handled comes again',
    async () => {
      const group = `${own.lab.service}.work`;
      let handled = 0;
      @Injectable()
      class WorkListener {
        @OnEvent('work.*', { group, retry: false })
        on(): void {
          handled++;
          throw new Error('as asked');
        }
      }
      const options: EventBusModuleOptions = {
        transport: own.node.url(),
        consume: { prefetch: EVENTS, concurrency: EVENTS, maxConcurrency: EVENTS },
      };
      const came: number[] = [];
      for (let time = 1; time <= TIMES; time++) {
        const publisher = await own.lab.boot({
          options: { ...options, consume: { enabled: false } },
          providers: [WorkListener],
        });
        await publisher.bus.publishAll(range(EVENTS).map((n) => ({ topic: 'work.do', payload: n })));
        await publisher.app.close();
        handled = 0;
        const { app } = await own.lab.boot({ options, providers: [WorkListener] });
        await until('all are handled', () => handled >= EVENTS);
        await app.close();
        came.push(await waitingIn(own.node.url(), group));
      }
      expect(came).toEqual(range(TIMES).map(() => 0));
    },
    TEST_MS,
  );
});
