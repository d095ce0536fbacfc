import { setTimeout as delay } from 'node:timers/promises';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import Type from 'typebox';
import { readLogState, type SeqRange } from '../../../db/events.ts';
import { read } from '../../../db/read.ts';
import { addressOf } from '../../../plugins/addresses.ts';
import type { Principal } from '../../../plugins/auth/index.ts';
import { problems } from '../../../plugins/errors.ts';
import type { DetailsOf, ExportFormat } from '../../../src/core/actions.ts';
import { CodedError, OutcomeUnknownError, type Receipt } from '../../../src/core/errors.ts';
import type { Draft } from '../../../src/core/events.ts';
import { ExportWriter } from '../../../src/core/export.ts';
import { resumed } from '../../../src/core/export-walk.ts';
import { checkInterval, parseFilter } from '../../../src/core/filter.ts';
import { OpenCounts } from '../../../src/core/open-counts.ts';
import { ExportQuery } from '../../../src/core/schemas.ts';
import { wholeRange } from '../page.ts';
import { exportPages } from './pages.ts';
import { ExportRun } from './run.ts';

type Details = DetailsOf<'AUDIT_EXPORTED'>;
/** What runs, and whose it is. */
type Entry = { run: ExportRun; principal: Principal };

/** A client must take so many bytes in so many milliseconds, 17 KiB a second, for it holds one of few places. */
const PACE = { bytes: 1024 * 1024, ms: 60_000 };
/** Exports at a time of one user, and of all together: each holds a page, of some 4 MiB. What they read, `limits` bounds. */
const MAX_OF_USER = 2;
const MAX_OF_ALL = 3;
/** What is said to who comes beyond, in seconds: nobody knows how long an export takes. */
const RETRY_SECONDS = 10;
/** How often it is looked whose token has expired. */
const EXPIRY_MS = 1_000;
/** How long the end of the server waits until it is on record how the exports ended. */
const CLOSE_MS = 500;

const mediaTypes: Record<ExportFormat, string> = {
  ndjson: 'application/x-ndjson; charset=utf-8',
  // RFC 4180 3
  csv: 'text/csv; charset=utf-8; header=present',
};

const description = `Everything that matches, oldest first, up to the head of the log at the start. It is read page by
page, each by itself, so that an export of any length holds up nobody, and is sent as fast as it is taken.

The last line tells whether the export is whole: in NDJSON
\`{"end":true,"count":...,"first_seq":...,"last_seq":...,"sha256":"..."}\`, in CSV a record \`#end,count,first_seq,last_seq,sha256\`
as wide as the others. The SHA-256 is that of all bytes before that line. When something fails on the way, the connection
breaks, and there is no such line.

CSV is RFC 4180 with a header. \`details\` is JSON; an empty cell is null. A text that starts with \`=\`, \`+\`, \`-\`, \`@\` (or
their wide forms), TAB, CR, LF or \`'\` has a \`'\` before it, so that no spreadsheet takes it for a formula: who reads the
file takes one \`'\` away where a cell starts with one.

Recorded as \`AUDIT_EXPORTED\`, before the first byte and at the end. \`HEAD\` tells the content type, and reads and records
nothing. A user may have ${MAX_OF_USER} exports under way.`;

/** Says which events of the log it is about. */
const fileName = ({ from, to }: SeqRange, format: ExportFormat): string =>
  `minutebook-${from}-${Math.max(from, to - 1)}.${format}`;

/** The log as a file, of any length, in constant memory. */
export default fp(
  async function exportRoutes(fastify: FastifyInstance) {
    const { audit, auth, database, moderation, turns } = fastify;
    const onRequest = [auth.requireScope('audit:read'), admit];

    fastify.addHook('onSend', async (_request, reply) => {
      reply.header('cache-control', 'no-store');
    });

    fastify.get(
      '/audit/export',
      {
        onRequest,
        exposeHeadRoute: false,
        schema: {
          operationId: 'exportEvents',
          summary: 'All events that match, as a file',
          description,
          tags: ['audit'],
          security: [{ token: [] }],
          querystring: ExportQuery,
          response: {
            200: {
              description: 'The events, and a last line that tells whether they are all',
              headers: {
                'Content-Disposition': Type.String({
                  description: 'A name for the file, which says which events it is about.',
                }),
              },
              content: {
                'application/x-ndjson': {
                  schema: Type.String({ description: 'An AuditEvent a line, and the last line.' }),
                },
                'text/csv': {
                  schema: Type.String({
                    description: 'A header, a record for each event, and the last one.',
                  }),
                },
              },
            },
            ...problems(400, 401, 403, 410, 429, 500, 503),
          },
        },
      },
      exportEvents,
    );
    fastify.head(
      '/audit/export',
      { onRequest: auth.requireScope('audit:read'), schema: { hide: true, querystring: ExportQuery } },
      describeExport,
    );

    const open = new OpenCounts(MAX_OF_USER);
    let openOfAll = 0;
    const entries = new Set<Entry>();
    /** The records of ends, until they are made. */
    const ends = new Set<Promise<unknown>>();

    /** Counts who exports, until the answer is over. */
    async function admit({ principal }: FastifyRequest, { raw }: FastifyReply): Promise<void> {
      const userId = principal?.userId ?? '';
      if (!open.hasRoom(userId)) {
        throw new CodedError(
          'rate_limited',
          `A user may have ${MAX_OF_USER} exports under way; wait for one to end.`,
          { retryAfter: RETRY_SECONDS },
        );
      }
      if (openOfAll >= MAX_OF_ALL) {
        throw new CodedError('overloaded', 'Too many exports are under way; try again later.', {
          retryAfter: RETRY_SECONDS,
        });
      }
      // Of a response that is over already, no end would be told.
      if (raw.destroyed) return;
      open.add(userId);
      openOfAll += 1;
      raw.once('close', () => {
        open.remove(userId);
        openOfAll -= 1;
      });
    }

    /** What can be said without a read: how far the log goes is told only to who is on record. */
    async function describeExport(request: FastifyRequest, reply: FastifyReply) {
      const { format = 'ndjson', ...filters } = request.query as ExportQuery & { format?: ExportFormat };
      parseFilter(filters);
      return reply.header('content-type', mediaTypes[format]).send();
    }

    async function exportEvents(request: FastifyRequest, reply: FastifyReply) {
      const { format = 'ndjson', ...filters } = request.query as ExportQuery & { format?: ExportFormat };
      const { principal } = request;
      if (principal === null) throw new Error('nobody asks');
      const { userId, expiresAt } = principal;
      // Asked now: a connection that is closed no longer tells.
      const source = { user_id: userId, ip: addressOf(request) };
      const filter = parseFilter(filters);
      const run = new ExportRun({ response: reply.raw, expiresAt, pace: PACE });
      // From here on, for their right may end while the first page is read.
      const entry = { run, principal };
      entries.add(entry);
      checkKey(entry);
      void run.ended.then(() => entries.delete(entry));

      const state = await turns.read(userId, () => read(readLogState(database.read, filter)));
      checkInterval(state.from, state.to);
      const range = wholeRange(state);

      // Before anything is sent, so that what cannot be read at all is refused in so many words.
      const pages = exportPages(
        {
          db: database.read,
          inTurn: (work) => turns.readBulk(userId, work),
          check: () => run.check(),
        },
        format,
        filter,
        state,
        range,
      );
      const first = await pages.next();
      run.check();
      const writer = new ExportWriter(format);
      const { from: from_seq, to: to_seq } = range;
      await record(run, writer, source, {
        format,
        filters: filters as Record<string, string | string[]>,
        from_seq,
        to_seq,
      });
      run.check();
      return reply
        .header('content-type', mediaTypes[format])
        .header('content-disposition', `attachment; filename="${fileName(range, format)}"`)
        .send(run.body(writer, resumed(first, pages)));
    }

    /** Puts an export on record: resolves when its start is, and sees to its end. @throws CodedError */
    async function record(
      run: ExportRun,
      writer: ExportWriter,
      source: { user_id: string; ip: string | null },
      details: Omit<Details, 'phase'>,
    ): Promise<void> {
      const draft = (more: Partial<Details> & Pick<Details, 'phase'>): Draft => ({
        action: 'AUDIT_EXPORTED',
        ...source,
        details: { ...details, ...more },
      });
      const recordEnd = ({ seq: started_seq }: Receipt): void => {
        const end = run.ended
          .then((outcome) =>
            audit.recordSurely(draft({ phase: 'ended', started_seq, rows: writer.count, outcome })),
          )
          // The process ends, or its place in the log is lost; the INSTANCE_LOST that follows stands for it.
          .catch(() => {})
          .finally(() => ends.delete(end));
        ends.add(end);
      };
      try {
        recordEnd(await audit.record(draft({ phase: 'started' })));
      } catch (error) {
        run.stop('failed');
        // It may be on record after all; then so is its end.
        if (error instanceof OutcomeUnknownError) error.settled.then(recordEnd, () => {});
        throw error;
      }
    }

    function stopAll(outcome: 'failed' | 'shutdown'): void {
      for (const { run } of entries) run.stop(outcome);
    }
    moderation.onBanned((userId) => {
      for (const { run, principal } of entries) if (principal.userId === userId) run.stop('denied');
    });
    function checkKey({ run, principal }: Entry): void {
      if (auth.isWithdrawn(principal)) run.stop('denied');
    }
    auth.onKeys(() => {
      for (const entry of entries) checkKey(entry);
    });
    audit.onLost(() => stopAll('failed'));
    audit.onNewEpoch(() => stopAll('failed'));
    const expiries = setInterval(() => {
      for (const { run } of entries) run.checkExpiry();
    }, EXPIRY_MS);
    // While the log still takes their ends. They themselves are not waited for.
    fastify.addHook('preClose', async () => {
      clearInterval(expiries);
      stopAll('shutdown');
      await Promise.race([Promise.all(ends), delay(CLOSE_MS, undefined, { ref: false })]);
    });
  },
  {
    name: 'export-routes',
    dependencies: ['addresses', 'auth', 'database', 'audit', 'moderation', 'limits', 'turns', 'validation'],
    encapsulate: true,
  },
);
