import { setImmediate } from 'node:timers/promises';
import type { AuditEvent } from '../schemas.ts';
import { BlockBuilder, type BlockIndex } from './block.ts';
import { BLOCK_SIZE } from './offsets.ts';

export type IndexerOptions = {
  /** The first block that is not indexed. */
  readNextBlock: () => Promise<number>;
  /** Adds the events of a block before this seq, from the log. */
  fill: (builder: BlockBuilder, until: number) => Promise<void>;
  /** Writes the index of a whole block. False: it was there already, or was not the next one. */
  write: (index: BlockIndex) => Promise<boolean>;
  onError: (error: unknown) => void;
};

/** A block that is gathered, and from which seq on it has all. */
type Gathered = { builder: BlockBuilder; since: number };

/** Blocks that are gathered at a time from what is committed; what comes faster is read from the log later. */
const MAX_GATHERED = 2;

/**
 * Makes the index of the log, block by block, after the commit. What it is given as it comes need not be read from the
 * log again; what it was not given, it reads. It keeps nobody waiting, and can be told to start anew at any time.
 */
export class Indexer {
  readonly #options: IndexerOptions;
  /** The first block that is not indexed; undefined until it is known. */
  #next: number | undefined;
  readonly #gathered = new Map<number, Gathered>();
  /** How far the log is known to go: the number after its last event. */
  #head = 0;
  #working: Promise<void> | undefined;
  #stopped = true;
  /** Until what is under way has ended, after `stop`. */
  #stopping: Promise<void> | undefined;

  constructor(options: IndexerOptions) {
    this.#options = options;
  }

  /**
   * Starts, or goes on after a failure. Resolves when all whole blocks are indexed, or it was not possible.
   *
   * @param head the number after the last event that is committed
   */
  work(head: number): Promise<void> {
    // What was gathered before is of no use any more.
    if (this.#stopping !== undefined) return this.#stopping.then(() => this.work(head));
    this.#stopped = false;
    this.#head = Math.max(this.#head, head);
    this.#working ??= this.#work().finally(() => {
      this.#working = undefined;
    });
    return this.#working;
  }

  /** Takes committed events in order, as they come. */
  take(events: readonly AuditEvent[]): void {
    if (this.#next === undefined || this.#stopped) return;
    for (const event of events) this.#gather(event, this.#next);
    this.#head = Math.max(this.#head, (events.at(-1)?.seq ?? -1) + 1);
    if (this.#head >= (this.#next + 1) * BLOCK_SIZE) void this.work(this.#head);
  }

  /** Stops, and forgets what it gathered. Resolves when nothing is under way. */
  stop(): Promise<void> {
    this.#stopped = true;
    this.#stopping ??= this.#stop().finally(() => {
      this.#stopping = undefined;
    });
    return this.#stopping;
  }

  async #stop(): Promise<void> {
    await this.#working;
    this.#gathered.clear();
    this.#next = undefined;
    this.#head = 0;
  }

  #gather(event: AuditEvent, next: number): void {
    const block = Math.floor(event.seq / BLOCK_SIZE);
    if (block < next || block >= next + MAX_GATHERED) return;
    let gathered = this.#gathered.get(block);
    if (gathered === undefined) {
      gathered = { builder: new BlockBuilder(block), since: event.seq };
      this.#gathered.set(block, gathered);
    }
    gathered.builder.add(event);
  }

  /** Makes the index of a block, a step for each turn of the event loop. */
  async #finish(builder: BlockBuilder): Promise<BlockIndex> {
    const steps = builder.steps();
    for (;;) {
      const { done, value } = steps.next();
      if (done) return value;
      await setImmediate();
    }
  }

  async #work(): Promise<void> {
    const { readNextBlock, fill, write, onError } = this.#options;
    try {
      this.#next ??= await readNextBlock();
      while (!this.#stopped && this.#head >= (this.#next + 1) * BLOCK_SIZE) {
        const { builder, since }: Gathered = this.#gathered.get(this.#next) ?? nothing(this.#next);
        await fill(builder, since);
        const index = await this.#finish(builder);
        if (this.#stopped) return;
        this.#next = (await write(index)) ? this.#next + 1 : await readNextBlock();
        for (const block of this.#gathered.keys()) if (block < this.#next) this.#gathered.delete(block);
      }
    } catch (error) {
      onError(error);
    }
  }
}

const nothing = (block: number): Gathered => {
  const builder = new BlockBuilder(block);
  return { builder, since: builder.to };
};
