import { createReadStream } from 'node:fs';
import { createGunzip } from 'node:zlib';

/** One line of a chat record. */
type Line = {
  /** RFC 3339. */
  at: string;
  kind: 'join' | 'leave' | 'message' | 'nick';
  user: string;
  text?: string;
  /** For `nick`: the new name. */
  to?: string;
};

/** One thing that a user does. */
export type Step = { kind: 'join' | 'leave' | 'message'; at: number; text: string };

/** What the file holds, as it stands. */
export type FileCounts = {
  lines: number;
  messages: number;
  joins: number;
  leaves: number;
  nicks: number;
  /** Messages, and their users, when no JOIN of theirs was seen before; nick changes left out of account. */
  messagesFromOutside: number;
  usersOutside: number;
  repeatedJoins: number;
  leavesOutside: number;
  blankTexts: number;
};

/** What is played, and why it differs from the file. */
export type Plan = {
  /** Each user's steps, in the file's order. */
  users: Map<string, Step[]>;
  startsAt: number;
  file: FileCounts;
  played: { joins: number; leaves: number; messages: number };
  /** Joins that the file lacks: of speakers outside, and of new names after a nick change. */
  added: { joinsOfSpeakers: number; joinsOfNicks: number; leavesOfNicks: number };
  skipped: { joins: number; leaves: number; texts: number };
};

const KINDS = new Set(['join', 'leave', 'message', 'nick']);

function parseJson(text: string, number: number): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new Error(`line ${number} is not JSON`, { cause });
  }
}

function parseLine(text: string, number: number): Line {
  const line = parseJson(text, number) as Line | null;
  const valid =
    line !== null &&
    KINDS.has(line.kind) &&
    typeof line.user === 'string' &&
    !Number.isNaN(Date.parse(line.at)) &&
    (line.kind !== 'message' || typeof line.text === 'string') &&
    (line.kind !== 'nick' || typeof line.to === 'string');
  if (!valid) throw new Error(`line ${number} is not {at, kind, user, text | to}`);
  return line;
}

/** Reads `.ndjson` or `.ndjson.gz`. Lines end with LF alone: node:readline would also split texts at U+2028. */
async function* readLines(path: string): AsyncGenerator<Line> {
  const file = createReadStream(path);
  const input = path.endsWith('.gz') ? file.pipe(createGunzip()) : file;
  file.on('error', (error) => input.destroy(error));
  input.setEncoding('utf8');
  let number = 0;
  let rest = '';
  for await (const chunk of input) {
    const lines = (rest + chunk).split('\n');
    rest = lines.pop() ?? '';
    for (const text of lines) {
      number += 1;
      if (text.trim() !== '') yield parseLine(text, number);
    }
  }
  if (rest.trim() !== '') yield parseLine(rest, number + 1);
}

/** Counts a file as it stands: who was in is known from its joins and leaves alone. */
class FileCounter {
  readonly counts: FileCounts = {
    lines: 0,
    messages: 0,
    joins: 0,
    leaves: 0,
    nicks: 0,
    messagesFromOutside: 0,
    usersOutside: 0,
    repeatedJoins: 0,
    leavesOutside: 0,
    blankTexts: 0,
  };
  readonly #inside = new Set<string>();
  readonly #outsiders = new Set<string>();

  count({ kind, user, text }: Line): void {
    const { counts } = this;
    const isInside = this.#inside.has(user);
    counts.lines += 1;
    if (kind === 'nick') counts.nicks += 1;
    if (kind === 'join') {
      counts.joins += 1;
      if (isInside) counts.repeatedJoins += 1;
      this.#inside.add(user);
    }
    if (kind === 'leave') {
      counts.leaves += 1;
      if (!isInside) counts.leavesOutside += 1;
      this.#inside.delete(user);
    }
    if (kind === 'message') {
      counts.messages += 1;
      if (text?.trim() === '') counts.blankTexts += 1;
      if (!isInside) {
        counts.messagesFromOutside += 1;
        this.#outsiders.add(user);
        counts.usersOutside = this.#outsiders.size;
      }
    }
  }
}

/**
 * Turns a file into what each user does, under these rules: a speaker outside the room joins first; repeated
 * joins, leaves from outside and blank texts are skipped; a nick change is a leave and a join under the new
 * name.
 */
export async function readPlan(path: string): Promise<Plan> {
  const users = new Map<string, Step[]>();
  const inside = new Set<string>();
  const counter = new FileCounter();
  const plan: Plan = {
    users,
    startsAt: Number.POSITIVE_INFINITY,
    file: counter.counts,
    played: { joins: 0, leaves: 0, messages: 0 },
    added: { joinsOfSpeakers: 0, joinsOfNicks: 0, leavesOfNicks: 0 },
    skipped: { joins: 0, leaves: 0, texts: 0 },
  };
  const step = (user: string, kind: Step['kind'], at: number, text = ''): void => {
    const steps = users.get(user);
    if (steps === undefined) users.set(user, [{ kind, at, text }]);
    else steps.push({ kind, at, text });
    plan.played[`${kind}s`] += 1;
    if (kind === 'join') inside.add(user);
    if (kind === 'leave') inside.delete(user);
  };

  for await (const line of readLines(path)) {
    counter.count(line);
    const { kind, user, text = '', to = '' } = line;
    const at = Date.parse(line.at);
    plan.startsAt = Math.min(plan.startsAt, at);
    if (kind === 'join') {
      if (inside.has(user)) plan.skipped.joins += 1;
      else step(user, 'join', at);
    } else if (kind === 'leave') {
      if (inside.has(user)) step(user, 'leave', at);
      else plan.skipped.leaves += 1;
    } else if (kind === 'nick') {
      if (inside.has(user)) {
        plan.added.leavesOfNicks += 1;
        step(user, 'leave', at);
      }
      if (!inside.has(to)) {
        plan.added.joinsOfNicks += 1;
        step(to, 'join', at);
      }
    } else if (text.trim() === '') {
      plan.skipped.texts += 1;
    } else {
      if (!inside.has(user)) {
        plan.added.joinsOfSpeakers += 1;
        step(user, 'join', at);
      }
      step(user, 'message', at, text);
    }
  }
  return plan;
}
