/** Random numbers that come again with the same seed. */
export class Dice {
  constructor(private state: number) {}

  /** 0 up to, and without, `below`. */
  int(below: number): number {
    this.state = (this.state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(this.state ^ (this.state >>> 15), 1 | this.state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * below);
  }

  pick<T>(from: readonly T[]): T {
    return from[this.int(from.length)] as T;
  }

  bytes(count: number): Buffer {
    return Buffer.from(Array.from({ length: count }, () => this.int(256)));
  }

  text(): string {
    return this.pick([
      '',
      'orders.created',
      '__proto__',
      'constructor',
      'a'.repeat(255),
      '\u0000',
      '☃',
      String(this.int(1e9)),
    ]);
  }
}
