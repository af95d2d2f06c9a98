export interface Bar {
  readonly value: number;
  readonly rule: '≤' | '≥';
  readonly limit: number;
  readonly ok: boolean;
}

export interface Figures {
  readonly figures: Readonly<Record<string, number | string>>;
  readonly bars: Readonly<Record<string, Bar>>;
  /** Its name and version, if it needs one. */
  readonly broker: string | undefined;
  /** What the figures were computed from, where that is worth keeping. */
  readonly series?: readonly Readonly<Record<string, number>>[];
}

export interface ProofOptions {
  /** A smoke run of the proof itself: small counts, nothing is written down. */
  readonly short: boolean;
  readonly log: (line: string) => void;
}

/** One promise, broken at as hard as this machine can, with the bars that it has to clear. */
export interface Proof {
  readonly name: string;
  readonly promise: string;
  /** What it does not show. */
  readonly limits: string;
  run(options: ProofOptions): Promise<Figures>;
}

export function atMost(value: number, limit: number): Bar {
  return { value, rule: '≤', limit, ok: value <= limit };
}

export function atLeast(value: number, limit: number): Bar {
  return { value, rule: '≥', limit, ok: value >= limit };
}
