import { randomFillSync } from 'node:crypto';

const BATCH = 256;
const LENGTH = 36;
const HEX = Buffer.from('0123456789abcdef', 'latin1');
const DASH = '-'.charCodeAt(0);

/**
 * Random UUIDs (version 4), made in batches and cut out as flat strings. `crypto.randomUUID()` glues each together from
 * twenty pieces, which costs more than all the rest of a publish in memory.
 */
export class IdSource {
  private readonly random = Buffer.alloc(BATCH * 16);
  private readonly text = Buffer.alloc(BATCH * LENGTH);
  private used = BATCH;

  next(): string {
    if (this.used === BATCH) this.refill();
    const at = this.used++ * LENGTH;
    return this.text.toString('latin1', at, at + LENGTH);
  }

  private refill(): void {
    const { random, text } = this;
    randomFillSync(random);
    for (let id = 0; id < BATCH; id++) {
      const from = id * 16;
      random[from + 6] = ((random[from + 6] ?? 0) & 0x0f) | 0x40;
      random[from + 8] = ((random[from + 8] ?? 0) & 0x3f) | 0x80;
      let to = id * LENGTH;
      for (let i = 0; i < 16; i++) {
        if (i === 4 || i === 6 || i === 8 || i === 10) text[to++] = DASH;
        const byte = random[from + i] ?? 0;
        text[to++] = HEX[byte >> 4] ?? 0;
        text[to++] = HEX[byte & 15] ?? 0;
      }
    }
    this.used = 0;
  }
}
