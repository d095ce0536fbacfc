import { setTimeout as delay } from 'node:timers/promises';
import type { FastifyInstance } from 'fastify';
import fp from 'fastify-plugin';
import { fillBlock, readIndexing, readNextBlock, writeBlock } from '../db/search-index.ts';
import { Indexer } from '../src/core/search/indexer.ts';
import { IndexingTurn } from '../src/core/search/turn.ts';
import type { Subscription } from '../src/core/tail.ts';

/** How often it is asked whose turn it is to make the index, and whether some of it could not be made. */
const POLL_MS = 3_000;
/** How long the end of the server waits for a block under way; it is made by another, or after the next start. */
const CLOSE_MS = 500;

/**
 * Makes the index of the log after the commit. One instance does, the eldest, unless it makes nothing of what waits
 * (`src/core/search/turn.ts`).
 */
export default fp(
  async function searchIndex(fastify: FastifyInstance) {
    const { audit, database, tail } = fastify;
    const { index } = database;
    const indexer = new Indexer({
      readNextBlock: () => readNextBlock(index),
      fill: (builder, until) => fillBlock(index, builder, until),
      write: (block) => writeBlock(index, block),
      onError: (error) => fastify.log.warn({ err: error }, 'the index of the log could not be made yet'),
    });
    const turn = new IndexingTurn();
    let following: Subscription | undefined;

    async function stop(): Promise<void> {
      following?.close();
      following = undefined;
      await indexer.stop();
    }

    async function look(): Promise<void> {
      if (!turn.look(await readIndexing(index, audit.instance))) return stop();
      following ??= tail.subscribe((events) => indexer.take(events));
      // Not as far as the tail: what it has not handed on yet, the indexer has not got.
      void indexer.work(following.next);
    }

    let isLooking = false;
    async function lookOnce(): Promise<void> {
      if (isLooking) return;
      isLooking = true;
      try {
        await look();
      } catch (error) {
        fastify.log.warn({ err: error }, 'it could not be asked whose turn it is to make the index');
      }
      isLooking = false;
    }
    const poll = setInterval(() => void lookOnce(), POLL_MS);
    await lookOnce();
    audit.onNewEpoch(() => void stop());
    fastify.addHook('onClose', async () => {
      clearInterval(poll);
      await Promise.race([stop(), delay(CLOSE_MS, undefined, { ref: false })]);
    });
  },
  { name: 'search-index', dependencies: ['audit', 'tail', 'database'] },
);
