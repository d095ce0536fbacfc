import { once } from 'node:events';

/** Writes to a stream, and waits while whoever reads it is behind. */
export async function write(stream: NodeJS.WritableStream, data: string | Uint8Array): Promise<void> {
  if (!stream.write(data)) await once(stream, 'drain');
}

/** Tells whoever sits before the terminal, past what a pipe takes. */
export const tell = (text: string): boolean => process.stderr.write(`${text}\n`);

/** Whoever reads our output may have enough of it, such as `head`; that is no error. */
export function endQuietlyWithReader(): void {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EPIPE') throw error;
      process.exit(0);
    });
  }
}
