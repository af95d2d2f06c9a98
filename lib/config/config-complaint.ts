import type { ConfigNode } from './config-node.js';

/** What a complaint is about, and its text without the value of a variable. */
interface Complaint {
  readonly node: ConfigNode;
  readonly text: string;
}

interface Step {
  readonly child: ConfigNode;
  readonly end: number;
}

/** So many words a key may have, as patterns have them; in a longer one nothing is looked up. */
const KEY_WORDS = 256;

/**
 * Finds the innermost node whose path a complaint begins with. Keys may be anything, so the path is followed, not parsed.
 *
 * @param from where in the complaint the path of `root` ends
 */
export function aboutOf(root: ConfigNode, complaint: string, from = 0): Complaint {
  let best: { readonly node: ConfigNode; readonly end: number; readonly secret?: Secret } = { node: root, end: from };
  const follow = (node: ConfigNode, end: number, outer: Secret | undefined): void => {
    if (end > best.end && isEnd(complaint, end)) best = { node, end, ...(outer && { secret: outer }) };
    const inner =
      outer ?? (node.kind === 'object' && node.writtenAs !== undefined ? { end, as: node.writtenAs } : outer);
    for (const step of stepsFrom(node, complaint, end)) follow(step.child, step.end, inner);
  };
  follow(root, from, undefined);
  const { node, end, secret } = best;
  const text = node.writtenAs === undefined ? complaint : withoutNumber(complaint);
  return { node, text: secret === undefined ? text : withoutKeys(text, secret, end) };
}

/** An object whose keys come from a variable. */
interface Secret {
  /** Where in the complaint its path ends. */
  readonly end: number;
  readonly as: string;
}

function stepsFrom(node: ConfigNode, complaint: string, end: number): readonly Step[] {
  if (node.kind === 'list') {
    const [written = '', index] = /^\[(\d{1,9})\]/.exec(complaint.slice(end, end + 11)) ?? [];
    const child = index === undefined ? undefined : node.items[Number(index)];
    return child === undefined ? [] : [{ child, end: end + written.length }];
  }
  if (node.kind !== 'object' || node.entries.size === 0) return [];
  const steps: Step[] = [];
  const add = (key: string, at: number): void => {
    const child = at > end ? node.entries.get(key) : undefined;
    if (child) steps.push({ child, end: at });
  };
  if (complaint.startsWith('["', end)) {
    const quoted = /"(?:[^"\\]|\\.)*"/y;
    quoted.lastIndex = end + 1;
    const [written] = quoted.exec(complaint) ?? [];
    if (written !== undefined && complaint[quoted.lastIndex] === ']') add(keyOf(written), end + written.length + 2);
  }
  // as `shape()` writes it, whatever it is
  if (end > 0 && complaint[end] !== '.') return steps;
  const start = end > 0 ? end + 1 : 0;
  const boundary = /[\s.:[]|$/g;
  boundary.lastIndex = start;
  for (let words = 0; words < KEY_WORDS; words++) {
    const at = boundary.exec(complaint)?.index ?? complaint.length;
    add(complaint.slice(start, at), at);
    if (at >= complaint.length) break;
    boundary.lastIndex = at + 1;
  }
  return steps;
}

function isEnd(complaint: string, end: number): boolean {
  return /^([\s.:[]|$)/.test(complaint.slice(end, end + 1));
}

function keyOf(written: string): string {
  try {
    return String(JSON.parse(written));
  } catch {
    return written; // an escape that JSON does not know: no path of ours
  }
}

/** Complaints about numbers end with them. */
function withoutNumber(complaint: string): string {
  return complaint.replace(/; got [^;\s]*\.$/, '.');
}

function withoutKeys(complaint: string, { end, as }: Secret, keysEnd: number): string {
  const keys = complaint.slice(end, keysEnd);
  // a name that is a part of a key
  const rest = complaint
    .slice(keysEnd)
    .replace(/"([^"]*)"/g, (all, name: string) => (keys.includes(name) ? '"…"' : all));
  return `${end === 0 ? '' : `${complaint.slice(0, end)}: `}a key of ${as}${rest}`;
}
