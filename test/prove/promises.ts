import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Bar } from './proof.js';

/** What a proof writes down. */
export interface Report {
  readonly name: string;
  readonly promise: string;
  readonly figures: Readonly<Record<string, number | string>>;
  readonly bars: Readonly<Record<string, Bar>>;
  readonly limits: string;
  readonly command: string;
  /** None, if it needs none. */
  readonly broker?: string;
  readonly commit: string;
  readonly node: string;
  readonly cores: number;
  readonly date: string;
  readonly durationS: number;
}

const BEGIN = '<!-- proofs: made by `npm run prove` from test/prove/results -->';
const END = '<!-- /proofs -->';

/** What has been proved in full, by name. */
export function readReports(folder: string): readonly Report[] {
  const files = readdirSync(folder).filter((file) => file.endsWith('.json'));
  return files.toSorted().map((file) => JSON.parse(readFileSync(join(folder, file), 'utf8')) as Report);
}

/** The README with its section of proofs made anew. */
export function withProofs(readme: string, reports: readonly Report[]): string {
  const [begin, end] = [readme.indexOf(BEGIN), readme.indexOf(END)];
  if (begin < 0 || end < begin) throw new Error(`The README has no section between ${BEGIN} and ${END}.`);
  return `${readme.slice(0, begin + BEGIN.length)}\n${section(reports)}${readme.slice(end)}`;
}

function section(reports: readonly Report[]): string {
  const rows = reports.map(
    ({ promise, bars, command, limits, date, durationS }) =>
      `| ${promise} | ${Object.entries(bars).map(measured).join('<br>')} | \`${command}\`<br>${date.slice(0, 10)}, ${duration(durationS)} | ${limits} |`,
  );
  return `${['| promise | measured (bar) | command | what it does not show |', '|---|---|---|---|', ...rows].join('\n')}\n\n${machines(reports)}\n`;
}

function measured([name, { value, rule, limit, ok }]: readonly [string, Bar]): string {
  const figure = `${name}: ${ok ? '' : '**MISSED** '}${grouped(value)}`;
  // a bar of none needs no second figure
  return rule === '≤' && limit === 0 ? figure : `${figure} (${rule} ${grouped(limit)})`;
}

function machines(reports: readonly Report[]): string {
  const kinds = reports.flatMap(({ broker, node, cores }) =>
    broker === undefined ? [] : [`${broker}, Node ${node}, ${cores} shared cores`],
  );
  return `Measured on ${[...new Set(kinds)].join('; ')}. All raw figures are in [test/prove/results](test/prove/results).`;
}

/** 251234 as 251 234, with spaces that do not break. */
function grouped(value: number): string {
  return value.toLocaleString('en-US').replaceAll(',', '\u00a0');
}

function duration(seconds: number): string {
  return seconds < 90 ? `${seconds} s` : `${Math.round(seconds / 60)} min`;
}
