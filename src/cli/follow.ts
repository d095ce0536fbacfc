import { setTimeout as delay } from 'node:timers/promises';
import type { AuditEvent } from '../core/schemas.ts';
import { type StreamBlock, StreamParser } from '../core/stream-parser.ts';
import { ask, RefusedError, strangeAnswer } from './ask.ts';
import type { Connection } from './connection.ts';
import { CliError, exitCodes } from './exit.ts';

/** The server says something every 15 s; after this long it is taken for gone. */
const SILENCE_MS = 45_000;
const MIN_WAIT_MS = 250;
const MAX_WAIT_MS = 5_000;

export type FollowOptions = {
  parameters: URLSearchParams;
  signal: AbortSignal;
  /** Told the last seq before the stream, once, before its first event. */
  onOpen: (head: number) => Promise<void>;
  /** What whoever reads along should know: that the connection is gone, or back, or that events are missing. */
  onNotice: (text: string) => void;
};

/** `<epoch>:<seq>`; the epoch holds no colon. */
const seqOf = (id: string): number => Number(id.slice(id.indexOf(':') + 1));

/** The blocks of one connection, until it ends. */
async function* blocksOf(response: Response, silence: AbortController): AsyncGenerator<StreamBlock> {
  const parser = new StreamParser();
  const timer = setTimeout(() => silence.abort(), SILENCE_MS);
  try {
    for await (const chunk of response.body ?? []) {
      timer.refresh();
      yield* parser.add(chunk);
    }
  } finally {
    clearTimeout(timer);
  }
}

/** Whether it may go better later. */
const isPassing = (error: unknown): error is CliError =>
  error instanceof CliError && error.exitCode === exitCodes.unavailable;

/**
 * The events that match, as they are recorded, each once: goes on after every break of the connection where it was.
 *
 * @throws CliError when the first connection fails, or the right to read is gone
 */
export async function* follow(
  connection: Connection,
  { parameters, signal, onOpen, onNotice }: FollowOptions,
): AsyncGenerator<AuditEvent> {
  /** After which event the stream goes on; undefined before the first connection. */
  let lastId: string | undefined;
  let waitMs = MIN_WAIT_MS;
  let isGone = false;
  for (;;) {
    const silence = new AbortController();
    try {
      const response = await ask(connection, '/audit/stream', parameters, {
        signal: AbortSignal.any([signal, silence.signal]),
        headers: {
          accept: 'text/event-stream',
          ...(lastId === undefined ? {} : { 'last-event-id': lastId }),
        },
      });
      if (isGone) onNotice('the stream is back');
      isGone = false;
      for await (const { event, id, data } of blocksOf(response, silence)) {
        waitMs = MIN_WAIT_MS;
        if (event === 'audit') yield JSON.parse(data) as AuditEvent;
        else if (event === 'end') return;
        else if (event === 'reset')
          onNotice(`the log is not what it was, and the stream goes on elsewhere: ${data}`);
        else if (event === 'open' && lastId === undefined && id !== undefined) await onOpen(seqOf(id));
        lastId = id ?? lastId;
      }
      // The first block has an id, and comes with the head of the answer.
      if (lastId === undefined) throw strangeAnswer(connection);
    } catch (error) {
      if (signal.aborted || lastId === undefined) throw error;
      // Whatever breaks a body is of the connection; what the server has refused for good is not.
      if (error instanceof CliError && !isPassing(error)) throw error;
      if (error instanceof RefusedError) waitMs = Math.max(waitMs, (error.retryAfter ?? 0) * 1_000);
    }
    if (!isGone) onNotice('the stream is gone; trying again');
    isGone = true;
    await delay(waitMs, undefined, { signal });
    waitMs = Math.min(2 * waitMs, MAX_WAIT_MS);
  }
}
