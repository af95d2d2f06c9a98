import { Program, type ProgramName } from './program.js';

/** Programs of one kind, with some started ahead of need so that a killed one is replaced at once. */
export class Fleet {
  readonly active: Program[] = [];
  private readonly spares: Program[] = [];
  private readonly all = new Set<Program>();

  /** @param settings for one more; a program that waits for `go` is told so by `autoStart: false` */
  constructor(
    private readonly name: ProgramName,
    private readonly settings: () => object,
    private readonly spareCount = 0,
  ) {}

  async start(count: number): Promise<void> {
    for (let i = 0; i < this.spareCount + count; i++) this.spares.push(this.launch());
    while (this.active.length < count) await this.activate();
  }

  /** One more that works: the oldest spare. */
  async activate(): Promise<Program> {
    if (this.spares.length <= this.spareCount && this.spareCount > 0) this.spares.push(this.launch());
    const program = this.spares.shift() ?? this.launch();
    await program.ready;
    this.active.push(program);
    program.send({ kind: 'go' });
    return program;
  }

  /** One that works, taken out of the fleet to be ended. */
  pick(): Program {
    const [program] = this.active.splice(Math.floor(Math.random() * this.active.length), 1);
    if (!program) throw new Error(`No ${this.name} is left.`);
    return program;
  }

  /** @throws if one ended that nobody ended */
  assertAlive(): void {
    for (const program of this.all) {
      if (!program.isRunning && !program.isDoomed) throw new Error(program.describe('ended by itself'));
    }
  }

  /** Ends all, orderly first. */
  async dispose(ms: number): Promise<void> {
    await Promise.allSettled([...this.all].filter((p) => p.isRunning).map((program) => program.terminate(ms)));
    this.active.length = 0;
    this.spares.length = 0;
  }

  private launch(): Program {
    const program = Program.start(this.name, this.settings());
    this.all.add(program);
    void program.exit.then(() => program.isDoomed && this.all.delete(program));
    return program;
  }
}
