import type { ExportFormat } from '../../../src/core/actions.ts';
import type { Trailer } from '../../../src/core/export-lines.ts';
import { ExportReader } from '../../../src/core/export-reader.ts';

/** Where the bytes of an export go; nothing is there before `close`. */
export type Sink = {
  write(chunk: Uint8Array<ArrayBuffer>): Promise<void>;
  /** Makes it a file. @param name what the server calls it */
  close(name: string): Promise<void>;
  /** Leaves nothing. */
  abort(): Promise<void>;
};

export type Progress = { events: number; bytes: number };

/** The answer has no last line, or another number of events than that says: it is not the whole export. */
export class CutError extends Error {
  constructor({ events, bytes }: Progress, cause?: unknown) {
    const size = `after ${events.toLocaleString('en')} events (${bytesWords(bytes)})`;
    super(`The export is cut off: the connection broke ${size}, and its last line is missing.`, { cause });
    this.name = 'CutError';
  }
}

/** A number of bytes for people. */
export function bytesWords(bytes: number): string {
  const units = ['bytes', 'kB', 'MB', 'GB', 'TB'];
  let size = bytes;
  let unit = 0;
  while (size >= 1_000 && unit < units.length - 1) {
    size /= 1_000;
    unit += 1;
  }
  return `${unit === 0 ? size : size.toFixed(1)} ${units[unit]}`;
}

/** The name that the server gives the file. */
export const nameIn = (disposition: string | null): string | undefined =>
  /filename="([\w.-]+)"/.exec(disposition ?? '')?.[1];

/**
 * Passes an export on as it comes, and makes it a file when it is whole; else nothing is left.
 *
 * @param signal cancels it
 * @returns what its last line says
 * @throws CutError; AbortError when the signal says so; what the sink throws
 */
export async function saveExport(
  response: Pick<Response, 'body' | 'headers'>,
  format: ExportFormat,
  sink: Sink,
  { name, signal, onProgress }: { name: string; signal: AbortSignal; onProgress: (is: Progress) => void },
): Promise<Trailer & { bytes: number }> {
  const reader = new ExportReader(format);
  const body = response.body?.getReader();
  let bytes = 0;
  const progress = (): Progress => ({ events: reader.count, bytes });
  try {
    while (body !== undefined) {
      const { done, value } = await body.read().catch((error: unknown) => {
        signal.throwIfAborted();
        throw new CutError(progress(), error);
      });
      if (done) break;
      reader.add(value);
      bytes += value.length;
      await sink.write(value);
      signal.throwIfAborted();
      onProgress(progress());
    }
    const { trailer } = reader.end();
    if (trailer === undefined || trailer.count !== reader.count) throw new CutError(progress());
    await sink.close(nameIn(response.headers.get('content-disposition')) ?? name);
    return { ...trailer, bytes };
  } catch (error) {
    await body?.cancel().catch(() => {
      // It is over already; why is told by the error.
    });
    await sink.abort().catch(() => {
      // A file that could not be written is not there either.
    });
    throw error;
  }
}
