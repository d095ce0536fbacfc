/** A system call as strace has seen it; times are of the machine's clock, in seconds. */
export type Call = {
  name: string;
  /** Its arguments, as printed. */
  words: string;
  result: number;
  /** When it was entered, at the latest. */
  startedAt: number;
  /** When it had returned, at the latest. */
  endedAt: number;
};

/** strace -ttt -T, a file for each process. */
const LINE = /^(\d+\.\d+) (\w+)\((.*)\)\s+= (-?\d+)[^<]*<(\d+\.\d+)>$/;

/** What strace wrote of one process. A call that was under way at the end has no line, and so never ended. */
export function parseCalls(text: string): Call[] {
  return text.split('\n').flatMap((line) => {
    const [, at, name = '', words = '', result, duration] = LINE.exec(line) ?? [];
    if (at === undefined) return [];
    const startedAt = Number(at);
    return [{ name, words, result: Number(result), startedAt, endedAt: startedAt + Number(duration) }];
  });
}

/** When the first byte of each message, or of its acknowledgement, was on its way to a client. */
export function toldTimes(calls: readonly Call[]): Map<string, number> {
  const times = new Map<string, number>();
  for (const { words, startedAt } of calls) {
    for (const [, text] of words.matchAll(/\\"(?:text|ref)\\":\\"(user-\d+:\d+)\\"/g)) {
      if (text !== undefined) times.set(text, Math.min(startedAt, times.get(text) ?? startedAt));
    }
  }
  return times;
}
