import { once } from 'node:events';
import { type ExitCode, exitCodes } from './exit.ts';

/** Writes to a stream, and waits while whoever reads it is behind. */
export async function write(stream: NodeJS.WritableStream, data: string | Uint8Array): Promise<void> {
  if (!stream.write(data)) await once(stream, 'drain');
}

/** Tells whoever sits before the terminal, past what a pipe takes. */
export const tell = (text: string): boolean => process.stderr.write(`${text}\n`);

/**
 * Whoever reads our output may have enough of it, such as `head`; that is no error, but what went wrong before stays one. A
 * full disk is one, too.
 */
export function endWithReader(closers: ReadonlySet<() => Promise<void>>): void {
  let isEnding = false;
  function end(exitCode: ExitCode): void {
    if (closers.size === 0) process.exit(exitCode);
    isEnding = true;
    void Promise.allSettled([...closers].map((close) => close())).then(() => process.exit(exitCode));
  }
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', ({ code, message }: NodeJS.ErrnoException) => {
      if (isEnding) return;
      if (code === 'EPIPE') return end((process.exitCode ?? exitCodes.ok) as ExitCode);
      if (stream === process.stdout) tell(`minutebook: The output cannot be written (${code ?? message}).`);
      end(exitCodes.failed);
    });
  }
}
