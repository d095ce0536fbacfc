import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type InvariantId, invariantIds, invariants } from './check.ts';
import type { Outcome } from './row.ts';
import { leftOut } from './rows/left-out.ts';

const FILE = join(import.meta.dirname, '../../docs/faults.md');
const BEGIN = '<!-- begin: written by npm run test:faults -->';
const END = '<!-- end -->';

/** ✓ holds, ✗ broken, · nothing happened that could have broken it. */
function mark({ verdicts }: Outcome, id: InvariantId): string {
  const verdict = verdicts.find((other) => other.id === id);
  if (verdict === undefined) return '';
  if (verdict.violations.length > 0) return '✗';
  return verdict.checked > 0 ? '✓' : '·';
}

const cells = (...columns: readonly string[]): string => `| ${columns.join(' | ')} |`;

/** The table of faults and invariants. */
export function tableOf(outcomes: readonly Outcome[]): string[] {
  const head = ['#', 'fault', 'ok / refused / unknown', 'back after', ...invariantIds];
  const lines = outcomes.map((outcome) => {
    const { row, skipped, ok, refused, unknown, recoveredMs } = outcome;
    const title = skipped === undefined ? row.title : `${row.title} (not run: ${skipped})`;
    const answers = skipped === undefined ? `${ok} / ${refused} / ${unknown}` : '';
    const back = recoveredMs === undefined ? '' : `${Math.round(recoveredMs)} ms`;
    return cells(row.id, title, answers, back, ...invariantIds.map((id) => mark(outcome, id)));
  });
  return [cells(...head), cells(...head.map(() => '---')), ...lines];
}

/** Writes what a whole run came to between the marks of docs/faults.md; the text around them stays. */
export async function writeReport(outcomes: readonly Outcome[]): Promise<void> {
  const text = await readFile(FILE, 'utf8');
  const day = new Date().toISOString().slice(0, 10);
  const ran = outcomes.filter(({ skipped }) => skipped === undefined);
  const most = (pick: (outcome: Outcome) => number): number => Math.max(...ran.map(pick));
  const generated = [
    BEGIN,
    '',
    `Run on ${day} with Node ${process.version}: ${ran.length} of ${outcomes.length} rows. No server held more than`,
    `${most(({ memoryMib }) => memoryMib)} MiB at any time.`,
    '',
    ...tableOf(outcomes),
    '',
    '## What is expected of each',
    '',
    cells('#', 'expected'),
    cells('---', '---'),
    ...outcomes.map(({ row }) => cells(row.id, row.expected)),
    '',
    '## The invariants',
    '',
    cells('', ''),
    cells('---', '---'),
    ...invariantIds.map((id) => cells(id, invariants[id].title)),
    '',
    '## What is left out',
    '',
    cells('#', 'fault', 'why'),
    cells('---', '---', '---'),
    ...leftOut.map(({ id, title, why }) => cells(id, title, why)),
    '',
    END,
  ];
  const [before] = text.split(BEGIN);
  const [, after] = text.split(END);
  if (before === undefined || after === undefined) throw new Error(`${FILE} has lost its marks`);
  await writeFile(FILE, `${before}${generated.join('\n')}${after}`);
}
