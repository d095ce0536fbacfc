import { ExportCheck, type ExportVerdict } from '../../src/core/export-check.ts';
import type { AuditEvent } from '../../src/core/schemas.ts';
import type { TestApp } from './app.ts';

/** An export that was taken to its end. */
export type Exported = { bytes: Buffer; text: string; verdict: ExportVerdict };

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
