import type { ExportFormat } from '../../src/core/actions.ts';
import { eventFields } from '../../src/core/event-fields.ts';
import type { ExportPage } from '../../src/core/export.ts';
import { ExportCheck, type ExportVerdict } from '../../src/core/export-check.ts';
import type { AuditEvent } from '../../src/core/schemas.ts';
import type { TestApp } from './app.ts';

/** An export that was taken to its end. */
export type Exported = { bytes: Buffer; text: string; verdict: ExportVerdict };

const KIB = 1024;

/** Puts so many MiB of messages on record, which all differ: 24 are more than the kernel keeps for a connection. */
export async function fill({ app }: TestApp, mib: number): Promise<void> {
  for (let n = 0; n < mib; n += 1) {
    await Promise.all(
      Array.from({ length: 16 }, (_, index) =>
        app.audit.record({
          action: 'MESSAGE_SENT',
          user_id: 'alice',
          room: 'lobby',
          message: `${n}.${index}.`.padEnd(64 * KIB, 'x'),
        }),
      ),
    );
  }
}

/** How the streams and exports have ended that have, in the order of the alphabet. */
export const endsOf = async (server: TestApp): Promise<unknown[]> =>
  (await server.events('action=AUDIT_STREAMED&action=AUDIT_EXPORTED'))
    .filter(({ details }) => details.phase === 'ended')
    .map(({ details }) => details.reason ?? details.outcome)
    .toSorted();

/** Takes an export to its end. @throws Error when it breaks off */
export async function takeExport(
  server: TestApp,
  query: string,
  format: 'ndjson' | 'csv' = 'ndjson',
): Promise<Exported> {
  const response = await server.get(`/audit/export?format=${format}&${query}`);
  if (response.status !== 200) throw new Error(`${response.status}: ${await response.text()}`);
  const bytes = Buffer.from(await response.arrayBuffer());
  const check = new ExportCheck(format);
  check.add(bytes);
  return { bytes, text: bytes.toString(), verdict: check.end() };
}

/** The events of an NDJSON export, without its last line. */
export const eventsIn = ({ text }: Exported): AuditEvent[] =>
  text
    .split('\n')
    .slice(0, -2)
    .map((line) => JSON.parse(line) as AuditEvent);

const quoted = (value: unknown): string => `"${String(value).replaceAll('"', '""')}"`;

const lineOf: Record<ExportFormat, (event: AuditEvent) => string> = {
  ndjson: (event) => `${JSON.stringify(event)}\n`,
  csv: (event) => `${eventFields.map((field) => quoted(event[field] ?? '')).join()}\r\n`,
};

/** Events as a page of an export; in CSV with more quotes than the server’s. */
export const pageOf = (events: readonly AuditEvent[], format: ExportFormat = 'ndjson'): ExportPage => ({
  bytes: Buffer.from(events.map(lineOf[format]).join('')),
  count: events.length,
  firstSeq: events[0]?.seq ?? null,
  lastSeq: events.at(-1)?.seq ?? null,
});
