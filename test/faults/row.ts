import type { ErrorCode } from '../../src/core/errors.ts';
import type { InvariantId, Verdict } from './check.ts';
import type { Tool } from './tools.ts';
import type { World, WorldOptions } from './world.ts';

/** One fault: what is done to the world, and what is expected beside the invariants. */
export type Row = {
  /** The number of the fault in the matrix of docs/faults.md, with a letter where there are several of it. */
  id: string;
  title: string;
  /** What it shows, for the table. */
  expected: string;
  /** Also run by `npm test`. */
  quick?: true;
  /** Without these it is skipped, and says so. */
  needs?: readonly Tool[];
  world?: WorldOptions;
  /** Brings the fault about; may say by `world.onHeal` how it is undone. */
  strike: (world: World) => Promise<unknown>;
  /** How long it lasts. Unless given: until three senders were refused and every server has said that it is not ready. */
  lasts?: (world: World, since: number) => Promise<unknown>;
  /** Ends the fault, after what `strike` said; resolves when the database is there again. */
  heal?: (world: World) => Promise<unknown>;
  /** What senders may be told while it lasts, of which at least one must be; undefined: nobody need be refused. */
  refusals?: readonly ErrorCode[];
  /** Every refusal must be certain: nobody is told that the outcome is unknown. */
  certain?: true;
  /** The next message must be through so many milliseconds after the end of the fault; 2,000 unless given. */
  recoversInMs?: number;
  /** Whether a message may wait for more than 5 s for its answer, because its server stands still. */
  answersMayBeLate?: true;
  /** Nobody pages through the log meanwhile: large pages would drown what the row measures. */
  unread?: true;
  /** More that must be so, once people talk again. */
  afterwards?: (world: World, since: number) => Promise<unknown>;
};

/** What a run of a row came to. */
export type Outcome = {
  row: Row;
  /** Why it was not run. */
  skipped?: string;
  verdicts: readonly Verdict[];
  /** Of messages: how many got which answer. */
  ok: number;
  refused: number;
  unknown: number;
  /** From the end of the fault to the first message through, in milliseconds. */
  recoveredMs: number | undefined;
  /** The longest that a sender waited for a first answer, in milliseconds. */
  slowestMs: number;
  /** The most memory that any server held, in MiB. */
  memoryMib: number;
};

/** Which invariants a run exercised and kept. */
export const keptBy = ({ verdicts }: Outcome): InvariantId[] =>
  verdicts.filter(({ checked, violations }) => checked > 0 && violations.length === 0).map(({ id }) => id);
