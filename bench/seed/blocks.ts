import type { Db } from '../../db/client.ts';
import { fillBlock, readNextBlock, writeBlock } from '../../db/search-index.ts';
import type { AuditEvent } from '../../src/core/schemas.ts';
import { BlockBuilder, finish } from '../../src/core/search/block.ts';

/** Makes the index of whole blocks from events as they go by, so that they need not be read from the log again. */
export class BlockWriter {
  readonly #db: Db;
  #gathering: BlockBuilder;
  /** Whole, but not written: their events may not be committed yet. */
  #whole: BlockBuilder[] = [];

  private constructor(db: Db, first: BlockBuilder) {
    this.#db = db;
    this.#gathering = first;
  }

  /** @param firstSeq of the events to come; those before are read from the log */
  static async begin(db: Db, firstSeq: number): Promise<BlockWriter> {
    const first = new BlockBuilder(await readNextBlock(db));
    await fillBlock(db, first, firstSeq);
    return new BlockWriter(db, first);
  }

  /** Takes the next event. */
  readonly add = (event: AuditEvent): void => {
    this.#gathering.add(event);
    if (event.seq + 1 < this.#gathering.to) return;
    this.#whole.push(this.#gathering);
    this.#gathering = new BlockBuilder(this.#gathering.block + 1);
  };

  /** Writes the blocks that are whole. All events until now must be committed. */
  async write(): Promise<void> {
    const whole = this.#whole;
    this.#whole = [];
    for (const builder of whole) {
      if (!(await writeBlock(this.#db, finish(builder))))
        throw new Error(`The block ${builder.block} of the index was written by somebody else.`);
    }
  }
}
