import { appendFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { Ledger, LedgerReader } from './harness/ledger.js';
import { LedgerBook } from './harness/ledger-book.js';
import { type Evidence, verify } from './harness/verdict.js';

const CLEAN: Evidence = {
  confirmed: ['a', 'b'],
  sent: new Set(['a', 'b', 'c']),
  handled: new Map([
    ['a', 1],
    ['b', 1],
  ]),
  faults: 1,
};

describe('a verdict', () => {
  it('finds nothing where everything came once', () => {
    expect(verify(CLEAN)).toMatchObject({ confirmed: 2, handled: 2, lost: [], duplicates: 0, problems: [] });
  });

  it('fails without a fault, and without anything confirmed', () => {
    expect(verify({ ...CLEAN, faults: 0 }).problems).toEqual(['no fault happened, so nothing is proved']);
    expect(verify({ ...CLEAN, confirmed: [] }).problems).toEqual(['nothing was confirmed, so nothing is proved']);
  });

  it('calls lost what is neither handled nor dead nor queued', () => {
    const handled = new Map([['a', 1]]);
    expect(verify({ ...CLEAN, handled })).toMatchObject({ lost: ['b'], problems: ['1 lost, such as b'] });
    expect(verify({ ...CLEAN, handled, dead: new Set(['b']) }).problems).toEqual([]);
    expect(verify({ ...CLEAN, handled, left: new Set(['b']) }).problems).toEqual([]);
  });

  it('counts duplicates, strangers, disorder and pending publishes', () => {
    const handled = new Map([...CLEAN.handled, ['c', 3], ['x', 1]]);
    const orders = [
      [1, 2, 1, 3],
      [2, 1, 3],
    ];
    expect(verify({ ...CLEAN, handled, orders, pending: 2 })).toMatchObject({
      lost: [],
      duplicates: 2,
      unknown: ['x'],
      disorder: 1,
      pending: 2,
      problems: ['1 handled that nobody published, such as x', '1 out of order', '2 publishes never settled'],
    });
  });
});

describe('ledgers', () => {
  it('a line is on disk when write returns; a line without its end is not read yet', () => {
    const folder = mkdtempSync(join(tmpdir(), 'ledger-'));
    try {
      const path = join(folder, 'one');
      const lines: string[] = [];
      const reader = new LedgerReader(path);
      reader.read((line) => lines.push(line));
      const ledger = new Ledger(path);
      ledger.write('h a 1');
      expect(readFileSync(path, 'utf8')).toBe('h a 1\n');
      appendFileSync(path, 'h b');
      reader.read((line) => lines.push(line));
      expect(lines).toEqual(['h a 1']);
      appendFileSync(path, ' 2\n');
      reader.read((line) => lines.push(line));
      expect(lines).toEqual(['h a 1', 'h b 2']);
      ledger.close();
      reader.close();
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('are added up to one book', () => {
    const book = new LedgerBook();
    try {
      const [publisher, worker] = [new Ledger(book.open('publisher')), new Ledger(book.open('worker'))];
      for (const line of ['r p 10', 'c p-1', 'c p-2', 'f p-3 PUBLISH_TIMEOUT']) publisher.write(line);
      for (const line of ['b p-1 1', 'h p-1 5', 'b p-1 1', 'h p-1 6', 'b p-2 1', 'x p-2 1']) worker.write(line);
      book.read();
      expect([...book.confirmed]).toEqual(['p-1', 'p-2']);
      expect(book).toMatchObject({ handlings: 2, thrown: 1, unhandled: 1, begun: 1 });
      expect(['p-10', 'p-11', 'q-1'].map((id) => book.sent.has(id))).toEqual([true, false, false]);
      expect([...book.rejected]).toEqual([['PUBLISH_TIMEOUT', 1]]);
      publisher.close();
      worker.close();
    } finally {
      book.dispose();
    }
  });
});
