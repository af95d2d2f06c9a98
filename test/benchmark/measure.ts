/** What one round of one contender took. */
export interface Sample {
  readonly messages: number;
  readonly ms: number;
  readonly cpuMicros: number;
}

export interface Contender {
  readonly name: string;
  round(messages: number): Promise<Sample>;
}

/** Measures from `start` to `stop`: wall time and CPU of this process. */
export class Stopwatch {
  private readonly cpu = process.cpuUsage();
  private readonly began = performance.now();

  stop(messages: number): Sample {
    const ms = performance.now() - this.began;
    const { user, system } = process.cpuUsage(this.cpu);
    return { messages, ms, cpuMicros: user + system };
  }
}

export interface Comparison {
  readonly title: string;
  readonly rateRatio: number;
  readonly cpuRatio: number;
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

const rate = ({ messages, ms }: Sample): number => (messages / ms) * 1_000;
const cpu = ({ messages, cpuMicros }: Sample): number => cpuMicros / messages;

/**
 * Runs two contenders in turn, so that whatever else the machine does hits both, and compares round by round. Garbage is not collected
 * by force in between: that makes the compiler forget, and more of it the more code there is.
 */
export async function compare(
  title: string,
  ours: Contender,
  raw: Contender,
  { rounds, messages }: { readonly rounds: number; readonly messages: number },
): Promise<Comparison> {
  // the compiler needs a few rounds of each to settle
  for (let i = 0; i < 2; i++) {
    await raw.round(messages);
    await ours.round(messages);
  }
  const pairs: { readonly ours: Sample; readonly raw: Sample }[] = [];
  for (let i = 0; i < rounds; i++) {
    const first = i % 2 === 0 ? raw : ours;
    const a = await first.round(messages);
    const b = await (first === raw ? ours : raw).round(messages);
    pairs.push(first === raw ? { raw: a, ours: b } : { raw: b, ours: a });
  }
  const rateRatio = median(pairs.map((p) => rate(p.ours) / rate(p.raw)));
  const cpuRatio = median(pairs.map((p) => cpu(p.ours) / cpu(p.raw)));
  const line = (name: string, pick: 'ours' | 'raw'): string =>
    `  ${name.padEnd(34)} ${Math.round(median(pairs.map((p) => rate(p[pick]))))
      .toLocaleString('en')
      .padStart(9)}/s  ${median(pairs.map((p) => cpu(p[pick])))
      .toFixed(1)
      .padStart(6)} µs CPU per message`;
  console.log(`${title} (${rounds} × ${messages.toLocaleString('en')} messages)`);
  console.log(line(raw.name, 'raw'));
  console.log(line(ours.name, 'ours'));
  console.log(
    `  ratio                              rate ${rateRatio.toFixed(2)}, CPU per message ${cpuRatio.toFixed(2)}\n`,
  );
  return { title, rateRatio, cpuRatio };
}
