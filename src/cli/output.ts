import { once } from 'node:events';
import { exitCodes } from './exit.ts';

/** Writes to a stream, and waits while whoever reads it is behind. */
export async function write(stream: NodeJS.WritableStream, data: string | Uint8Array): Promise<void> {
  if (!stream.write(data)) await once(stream, 'drain');
}

/** Tells whoever sits before the terminal, past what a pipe takes. */
export const tell = (text: string): boolean => process.stderr.write(`${text}\n`);

/** Whoever reads our output may have enough of it, such as `head`; that is no error. A full disk is one. */
export function endWithReader(): void {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', ({ code, message }: NodeJS.ErrnoException) => {
      if (code === 'EPIPE') process.exit(exitCodes.ok);
      if (stream === process.stdout) tell(`minutebook: The output cannot be written (${code ?? message}).`);
      process.exit(exitCodes.failed);
    });
  }
}
