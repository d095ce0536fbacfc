import { mkdir, open, readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';

/** Epochs that are remembered; the oldest are forgotten. */
const MAX_EPOCHS = 100;
const SAVE_MS = 500;

/**
 * What this machine has seen of the log: of each epoch, the number after its last known event. Kept in a file,
 * so that a database that was put back to an older state is noticed by whoever starts next on this machine.
 */
export class Seen {
  readonly #path: string;
  readonly #onError: (error: Error) => void;
  readonly #epochs: Map<string, number>;
  #changed = false;
  #failed = false;
  #saving: Promise<void> = Promise.resolve();
  readonly #timer: NodeJS.Timeout;

  private constructor(path: string, epochs: Map<string, number>, onError: (error: Error) => void) {
    this.#path = path;
    this.#epochs = epochs;
    this.#onError = onError;
    this.#timer = setInterval(() => {
      this.#saving = this.#saving.then(() => this.#save());
    }, SAVE_MS);
    this.#timer.unref();
  }

  /**
   * @param onError told once when the file cannot be read or written; then the database alone is asked
   */
  static async load(folder: string, onError: (error: Error) => void): Promise<Seen> {
    const path = join(folder, 'log-seen.json');
    let epochs = new Map<string, number>();
    try {
      epochs = await readEpochs(path);
    } catch (error) {
      onError(error as Error);
    }
    return new Seen(path, epochs, onError);
  }

  /** Of each epoch, the number after its last known event. */
  get epochs(): ReadonlyMap<string, number> {
    return this.#epochs;
  }

  /** Events up to, but without, a number are known to be in the log. */
  note(epoch: string, nextSeq: number): void {
    const before = this.#epochs.get(epoch);
    if (before !== undefined && before >= nextSeq) return;
    this.#epochs.set(epoch, nextSeq);
    this.#changed = true;
  }

  /** An epoch was seen to have been put back: whatever its numbers are by now, they name other events than before. */
  distrust(epoch: string): void {
    this.note(epoch, Number.MAX_SAFE_INTEGER);
  }

  /** Writes what is not written yet; nothing is written afterwards. */
  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.#saving;
    await this.#save();
  }

  async #save(): Promise<void> {
    if (!this.#changed) return;
    this.#changed = false;
    try {
      // Another server on this folder may have seen more. What cannot be read was told of at the start.
      const others = await readEpochs(this.#path).catch(() => new Map<string, number>());
      for (const [epoch, nextSeq] of others) this.note(epoch, nextSeq);
      this.#changed = false;
      await mkdir(join(this.#path, '..'), { recursive: true, mode: 0o700 });
      const draft = `${this.#path}.${process.pid}`;
      const file = await open(draft, 'w', 0o600);
      try {
        const newest = [...this.#epochs].slice(-MAX_EPOCHS);
        await file.writeFile(`${JSON.stringify({ next_seq_by_epoch: Object.fromEntries(newest) })}\n`);
      } finally {
        await file.close();
      }
      await rename(draft, this.#path);
      this.#failed = false;
    } catch (error) {
      if (!this.#failed) this.#onError(error as Error);
      this.#failed = true;
    }
  }
}

/** What the file says; nothing when there is none. */
async function readEpochs(path: string): Promise<Map<string, number>> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return new Map();
    throw error;
  }
  const { next_seq_by_epoch: epochs } = JSON.parse(text) as { next_seq_by_epoch?: Record<string, number> };
  return new Map(Object.entries(epochs ?? {}));
}
