import { Program } from '../fault/harness/program.js';
import type { Letter, Replayed } from '../fault/programs/operator.js';
import type { ProgramSettings } from '../fault/programs/settings.js';

const ANSWER_MS = 60_000;
const REPLAY_MS = 300_000;
const END_MS = 15_000;

/** Somebody in another process who looks after the dead letters of a group. */
export class Operator {
  private constructor(private readonly program: Program) {}

  static async start(settings: ProgramSettings): Promise<Operator> {
    const program = Program.start('operator', settings);
    await program.ready;
    return new Operator(program);
  }

  async count(): Promise<number> {
    return (await this.ask<{ readonly count: number }>('count', ANSWER_MS)).count;
  }

  /** The first thousand. */
  async list(): Promise<readonly Letter[]> {
    return (await this.ask<{ readonly letters: readonly Letter[] }>('list', ANSWER_MS)).letters;
  }

  /** All of them. */
  replay(): Promise<Replayed> {
    return this.ask('replay', REPLAY_MS);
  }

  /** Begins to replay, and will not live to tell. */
  beginReplay(): void {
    this.program.send({ kind: 'replay' });
  }

  /** SIGKILL. */
  kill(): Promise<void> {
    return this.program.kill();
  }

  async end(): Promise<void> {
    if (this.program.isRunning) await this.program.terminate(END_MS);
  }

  /** Its answer is of the same kind. */
  private async ask<T>(kind: string, ms: number): Promise<T> {
    const answer = this.program.next(kind, ms);
    this.program.send({ kind });
    return (await answer) as unknown as T;
  }
}
