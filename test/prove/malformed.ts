import { gzipSync } from 'node:zlib';

/** What somebody sends who means no good, or whose program is broken. */
export interface Malformed {
  /** The kind of damage, which need not make it invalid. */
  readonly kind: string;
  readonly body: Buffer;
  readonly contentType: string | undefined;
  readonly contentEncoding: string | undefined;
}

/** What the handlers of a proof ask for. */
export interface Order {
  readonly id: string;
  readonly n: number;
  readonly tags: readonly string[];
}

const TYPES = ['application/json', 'application/json; charset=utf-8', 'APPLICATION/JSON', '', undefined] as const;
const HOSTILE_TYPES = [
  ...['text/plain', 'application/x-v8', 'application/x-pickle', 'application/octet-stream', 'application/jsonp'],
  ...['; application/json', 'application/json/../x', '__proto__', 'constructor', 'x'.repeat(255)],
];
const ENCODINGS = ['identity', 'utf-8', 'UTF8', ''];
const HOSTILE_ENCODINGS = ['gzip', 'deflate', 'br', 'base64', 'utf-16', '__proto__', 'x'.repeat(255)];
/** As the library has it; beyond it nothing is decoded. */
const BODY_LIMIT = 1_048_576;
const BOMB = gzipSync(Buffer.alloc(10 * BODY_LIMIT));

type Make = (dice: Dice) => Buffer | Omit<Malformed, 'kind'>;

/** Random, and the same for the same seed. */
export class Dice {
  constructor(private state: number) {}

  /** From 0 to `end`, without it. */
  below(end: number): number {
    // Mulberry32
    this.state = (this.state + 0x6d2b79f5) | 0;
    let t = Math.imul(this.state ^ (this.state >>> 15), 1 | this.state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * end);
  }

  of<T>(all: readonly T[]): T {
    return all[this.below(all.length)] as T;
  }
}

function order(dice: Dice): Order {
  const words = ['red', 'größe', '緑', '"quoted"', 'a\\b', '\u0000', '\ud83d\ude00'];
  return {
    id: `order-${dice.below(1e9)}`,
    n: dice.below(1_000) / 4,
    tags: Array.from({ length: dice.below(4) }, () => dice.of(words)),
  };
}

const json = (dice: Dice): Buffer => Buffer.from(JSON.stringify(order(dice)));

/** The text of an order with something put in front of its closing brace. */
const withMore = (dice: Dice, more: string): Buffer =>
  Buffer.from(`${JSON.stringify(order(dice)).slice(0, -1)},${more}}`);

function insert(dice: Dice, bytes: readonly number[]): Buffer {
  const body = json(dice);
  const at = dice.below(body.length + 1);
  return Buffer.concat([body.subarray(0, at), Buffer.from(bytes), body.subarray(at)]);
}

function deep(dice: Dice, depth: number): Buffer {
  const [open, close] = dice.of([
    ['[', ']'],
    ['{"a":', '}'],
    ['[{"a":', '}]'],
  ] as const);
  const count = Math.ceil(depth / (open.length - open.replaceAll(/[[{]/g, '').length));
  return withMore(dice, `"more":${open.repeat(count)}1${close.repeat(count)}`);
}

const sent = (body: Buffer, dice: Dice, over: Partial<Malformed> = {}): Omit<Malformed, 'kind'> => ({
  body,
  contentType: dice.of(TYPES),
  contentEncoding: undefined,
  ...over,
});

/** Each kind as often as it says. */
const KINDS: readonly (readonly [kind: string, weight: number, make: Make])[] = [
  ['as it should be', 30, json],
  [
    'bits flipped',
    200,
    (dice) => {
      const body = json(dice);
      for (let flips = 1 + dice.below(4); flips > 0; flips--) {
        const at = dice.below(body.length);
        body[at] = (body[at] ?? 0) ^ (1 << dice.below(8));
      }
      return body;
    },
  ],
  ['cut', 100, (dice) => ((body) => body.subarray(0, dice.below(body.length)))(json(dice))],
  ['bytes that are no UTF-8', 60, (dice) => insert(dice, [dice.of([0xff, 0xfe, 0x80, 0xbf, 0xc3])])],
  [
    'overlong UTF-8',
    60,
    (dice) =>
      insert(
        dice,
        dice.of([
          [0xc0, 0xaf],
          [0xe0, 0x80, 0xaf],
          [0xf0, 0x80, 0x80, 0xaf],
          [0xc0, 0x80],
        ]),
      ),
  ],
  ['a surrogate as UTF-8', 30, (dice) => insert(dice, [0xed, 0xa0 + dice.below(32), 0x80])],
  ['a byte order mark', 40, (dice) => Buffer.concat([Buffer.from([0xef, 0xbb, 0xbf]), json(dice)])],
  ['UTF-16', 20, (dice) => Buffer.from(json(dice).toString(), 'utf16le')],
  ['NUL', 60, (dice) => insert(dice, [0])],
  ['a control character', 40, (dice) => insert(dice, [dice.below(32)])],
  ['nothing', 20, (dice) => Buffer.from(dice.of(['', ' ', '\n', '\0']))],
  ['noise', 40, (dice) => Buffer.from(Array.from({ length: dice.below(200) }, () => dice.below(256)))],
  ['200,000 levels', 1, (dice) => deep(dice, 200_000)],
  ['levels at the limit', 6, (dice) => deep(dice, 996 + dice.below(8))],
  ['more bytes than allowed', 0.2, (dice) => withMore(dice, `"more":"${'x'.repeat(BODY_LIMIT)}"`)],
  [
    'a name twice, and the last one wrong',
    60,
    (dice) => withMore(dice, dice.of(['"n":"1"', '"id":7', '"id":""', '"tags":null', '"tags":[1]', '"n":null'])),
  ],
  ['a name twice, and the last one right', 10, (dice) => withMore(dice, '"n":1,"id":"other","tags":[]')],
  ['a number that nothing can hold', 30, (dice) => withMore(dice, `"n":${dice.of(['1e309', '-1e309', '9e99999'])}`)],
  [
    'a number that JSON has not',
    30,
    (dice) => withMore(dice, `"n":${dice.of(['NaN', '0x10', '01', '.5', '+1', '1.'])}`),
  ],
  [
    'a name that changes prototypes',
    60,
    (dice) =>
      withMore(
        dice,
        dice.of([
          '"__proto__":{"admin":true}',
          '"__proto__":null',
          String.raw`"\u005f_proto__":{"n":1}`,
          String.raw`"more":[{"__prot\u006F__":1}]`,
          '"constructor":{"prototype":{"admin":true}}',
          String.raw`"more":{"constructo\u0072":{"\u0070rototype":1}}`,
        ]),
      ),
  ],
  [
    'a name that only looks like it',
    10,
    (dice) => withMore(dice, dice.of(['"constructor":1', '"prototype":{"a":1}', '"more":"__proto__"'])),
  ],
  [
    'another shape',
    60,
    (dice) =>
      Buffer.from(dice.of(['null', '1', '"order"', '[]', '{}', 'true', '{"id":"a"}', '[{"id":"a","n":1,"tags":[]}]'])),
  ],
  ['a hostile content type', 60, (dice) => sent(json(dice), dice, { contentType: dice.of(HOSTILE_TYPES) })],
  ['a hostile content encoding', 40, (dice) => sent(json(dice), dice, { contentEncoding: dice.of(HOSTILE_ENCODINGS) })],
  [
    'a content encoding that says nothing',
    10,
    (dice) => sent(json(dice), dice, { contentEncoding: dice.of(ENCODINGS) }),
  ],
  ['a bomb', 1, (dice) => sent(BOMB, dice, { contentEncoding: dice.of(['gzip', undefined]) })],
];

const WEIGHT = KINDS.reduce((sum, [, weight]) => sum + weight, 0);

/** The next one. */
export function malformed(dice: Dice): Malformed {
  const at = dice.below(WEIGHT * 1_000) / 1_000;
  let end = 0;
  const chosen = KINDS.find(([, weight]) => {
    end += weight;
    return at < end;
  });
  const [kind, , make] = chosen ?? (KINDS[0] as (typeof KINDS)[number]);
  const made = make(dice);
  return { kind, ...(Buffer.isBuffer(made) ? sent(made, dice) : made) };
}
