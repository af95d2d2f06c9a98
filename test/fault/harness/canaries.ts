import { inspect } from 'node:util';

/** What must not be shown anywhere, each in a form that is found wherever it turns up. */
export const CANARIES = {
  user: 'c4nary-user:@/%',
  password: ':@/%c4nary-word?#',
  passphrase: 'c4nary-phrase',
  payload: 'c4nary-load',
  header: 'c4nary-head',
} as const;

export type CanaryKind = keyof typeof CANARIES | 'key';

/** What is looked for: also as bytes, as a Buffer is printed, and a private key by its frame. */
const SIGNS: readonly (readonly [CanaryKind, RegExp])[] = [
  ...(Object.keys(CANARIES) as (keyof typeof CANARIES)[]).map((kind) => {
    const core = /c4nary-\w+/.exec(CANARIES[kind])?.[0] ?? '';
    const bytes = [...Buffer.from(core)].map((byte) => byte.toString(16).padStart(2, '0')).join(' ');
    return [kind, new RegExp(`${core}|${bytes}|${Buffer.from(core).toString('hex')}`, 'i')] as const;
  }),
  ['key', /PRIVATE KEY|50 52 49 56 41 54 45 20 4b 45 59/i],
];

/** Which secrets are seen when somebody prints `value` in any of the usual ways. */
export function leaksOf(value: unknown): readonly CanaryKind[] {
  const prints = printsOf(value).join('\n');
  return SIGNS.filter(([, sign]) => sign.test(prints)).map(([kind]) => kind);
}

function printsOf(value: unknown): readonly string[] {
  const options = { depth: 10, maxStringLength: null, maxArrayLength: null };
  const prints = [inspect(value, options), toJson(value)];
  if (value instanceof Error) prints.push(String(value), value.message, value.stack ?? '', ...printsOf(value.cause));
  return prints;
}

/** What cannot be written as JSON is not shown by it, but its error may tell. */
function toJson(value: unknown): string {
  try {
    return JSON.stringify(value) ?? '';
  } catch (error) {
    return String(error);
  }
}
