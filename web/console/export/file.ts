import type { ExportFormat } from '../../../src/core/actions.ts';
import type { Sink } from './save.ts';

// https://wicg.github.io/file-system-access/: Chromium has it, in secure contexts.
declare global {
  interface Window {
    showSaveFilePicker?: (options: {
      suggestedName: string;
      types: { description: string; accept: Record<string, string[]> }[];
    }) => Promise<FileSystemFileHandle>;
  }
}

const kinds: Record<ExportFormat, { description: string; accept: Record<string, string[]> }> = {
  ndjson: { description: 'NDJSON', accept: { 'application/x-ndjson': ['.ndjson'] } },
  csv: { description: 'CSV', accept: { 'text/csv': ['.csv'] } },
};

/** So much is gathered before the browser takes it out of the page's memory. */
const PIECE_BYTES = 16 * 1024 * 1024;
/** After this the browser has begun to save. */
const REVOKE_MS = 60_000;

/** A file of the user's choice, written while it comes. Must be called by a click. */
async function openPicked(format: ExportFormat, name: string): Promise<Sink> {
  const handle = await window.showSaveFilePicker?.({ suggestedName: name, types: [kinds[format]] });
  if (handle === undefined) throw new TypeError('there is no picker of files');
  // Another file, which takes the place of the first when it is closed.
  const stream = await handle.createWritable();
  return {
    write: (chunk) => stream.write(chunk),
    close: () => stream.close(),
    abort: () => stream.abort(),
  };
}

/** A download, made when all has come. */
function openDownload(): Sink {
  let whole = new Blob();
  let pieces: Uint8Array<ArrayBuffer>[] = [];
  let bytes = 0;
  const fold = () => {
    whole = new Blob([whole, ...pieces]);
    pieces = [];
    bytes = 0;
  };
  return {
    async write(chunk) {
      pieces.push(chunk);
      bytes += chunk.length;
      if (bytes >= PIECE_BYTES) fold();
    },
    async close(name) {
      fold();
      const href = URL.createObjectURL(whole);
      const link = document.createElement('a');
      link.href = href;
      link.download = name;
      link.click();
      setTimeout(() => URL.revokeObjectURL(href), REVOKE_MS);
    },
    async abort() {
      whole = new Blob();
      pieces = [];
    },
  };
}

/** @throws AbortError when the user wants no file after all */
export const openFile = (format: ExportFormat, name: string): Promise<Sink> | Sink =>
  window.showSaveFilePicker === undefined ? openDownload() : openPicked(format, name);
