import type { EventBusParts } from '../../bus/event-bus.parts.js';
import type { ResolvedOptions } from '../../bus/resolved-options.js';
import { ConfigurationError } from '../../core/errors.js';
import { hint } from '../../core/text.js';
import type { Chosen } from '../../create-event-bus.js';
import { DEFAULT_BUS } from '../../event-bus.constants.js';
import type { EventBusModuleOptions } from '../../event-bus.lifecycle.js';
import type { EventBusService } from '../../event-bus.service.js';
import type { BusSurroundings } from '../../event-bus.surroundings.js';
import { BusProbe } from './bus-probe.js';
import { HeldDelays } from './held-delays.js';
import { Stillness } from './stillness.js';

/** In place of the world outside: every bus of the application gets a transport in memory, whatever its options say. */
export class TestSurroundings implements BusSurroundings {
  readonly stillness = new Stillness(() => [...this.probes.values()].flatMap(({ movements }) => movements));
  readonly delays = new HeldDelays(this.stillness.changed);
  private readonly probes = new Map<string, BusProbe>();

  /** @param retain as the option of the transport in memory */
  constructor(private readonly retain: number) {}

  async chooseTransport(_raw: EventBusModuleOptions, options: ResolvedOptions, name: string): Promise<Chosen> {
    const { retain, delays, stillness } = this;
    const probe = new BusProbe({ name, options, retain, delays, onChange: stillness.changed });
    this.probes.set(name, probe);
    return { own: probe.transport };
  }

  createBus(parts: EventBusParts): EventBusService {
    return this.probe(parts.name).createBus(parts);
  }

  /** Closes all buses. Idempotent. */
  async close(): Promise<void> {
    await Promise.all([...this.probes.values()].map((probe) => probe.close()));
  }

  /**
   * @param name default: that of the only bus there is, else the unnamed one
   * @throws ConfigurationError when there is no such bus
   */
  probe(name?: string): BusProbe {
    const known = [...this.probes.keys()];
    if (known.length === 0)
      throw new ConfigurationError('The module under test has no event bus: import EventBusModule.forRoot() in it.');
    const wanted = name ?? (known.length === 1 ? known[0] : undefined) ?? DEFAULT_BUS;
    const probe = this.probes.get(wanted);
    if (probe) return probe;
    throw new ConfigurationError(`The module under test has no bus "${wanted}". ${hint(wanted, known)}`);
  }
}
