import { type Case, casesOf } from './cases.ts';
import type { Logs } from './logs.ts';
import { type Effort, measure, measureByTurns } from './measure.ts';
import type { ReadOptions } from './options.ts';
import { pageOf } from './pages.ts';
import type { CaseReading, LogReadings } from './results.ts';
import { openStand, type Stand } from './stand.ts';

/** Every read adds an event: a log that has grown by this share is copied anew. */
const MOST_GROWTH = 0.25;
/** So often the progress is told, in questions. */
const TOLD_EVERY = 20;

/** A log that is open to be read, and what was read from it. */
export type OpenLog = { stand: Stand; readings: LogReadings };

/** A question as one log is asked it: of its own times, sessions and cursors. */
type Question = { log: OpenLog; one: Case };

const grownBy = ({ readers }: Stand): number => readers.reduce((sum, { sent }) => sum + sent, 0);

/** Asks one question of every log: page by page, by one reader of all logs by turns, then by several of each log. */
async function measureQuestion(question: readonly Question[], effort: Effort): Promise<void> {
  const asked = question.map(({ log, one }) => {
    const { part, name, bound } = one;
    const reading: CaseReading = { part, name, bound, pages: [] };
    return { log, one, reading };
  });
  for (const place of question[0]?.one.places ?? []) {
    const pages = asked.map(({ log: { stand }, one, reading }) => {
      const [reader] = stand.readers;
      return { stand, reader, path: pageOf(stand.facts, one, place), reading };
    });
    for (const [{ stand, path, reading }, alone] of await measureByTurns(pages, effort)) {
      reading.pages.push({ place, alone, together: await measure(stand.readers, path, effort) });
    }
  }
  for (const { log, reading } of asked) log.readings.cases.push(reading);
}

/** Asks all logs the questions that are wanted; their readings hold what there is at any time. */
export async function measureQuestions(
  logs: Logs,
  open: readonly OpenLog[],
  options: ReadOptions,
  progress: (text: string) => void,
  signal: AbortSignal,
): Promise<void> {
  const wanted = open.flatMap((log) =>
    casesOf(log.stand.facts)
      .filter(({ part }) => options.parts.includes(part))
      .map((one): Question => ({ log, one })),
  );
  const questions = Map.groupBy(wanted, ({ one }) => one.name);
  for (const [index, question] of [...questions.values()].entries()) {
    signal.throwIfAborted();
    if (index % TOLD_EVERY === 0) progress(`${index} of ${questions.size} questions`);
    for (const log of open) {
      const { events } = log.readings;
      if (grownBy(log.stand) <= events * MOST_GROWTH) continue;
      progress(`${events} events: copied anew`);
      await log.stand.stop();
      log.stand = await openStand(logs, events, options.dataDir);
    }
    await measureQuestion(question, options);
  }
}
