import { useEffect, useId, useRef, useState } from 'preact/hooks';
import type { ExportFormat } from '../../../src/core/actions.ts';
import type { Trailer } from '../../../src/core/export-lines.ts';
import type { Stats } from '../../../src/core/schemas.ts';
import { addressOf, call, callJson, ProblemError, type Query } from '../../common/api.ts';
import { Copy } from '../../common/copy.tsx';
import { curlOf } from '../../common/curl.ts';
import { Dialog } from '../../common/dialog.tsx';
import { Icon } from '../../common/icons.tsx';
import { Text } from '../../common/text.tsx';
import { useLoad } from '../../common/use-load.ts';
import type { Filter } from '../filter.ts';
import './dialog.css';
import { openFile } from './file.ts';
import { bytesWords, type Progress, saveExport } from './save.ts';

export type ExportDialogProps = { filter: Filter; onClose: () => void };

type State =
  | { is: 'ready' }
  | { is: 'cancelled' }
  | { is: 'running'; progress: Progress }
  | { is: 'done'; result: Trailer & { bytes: number } }
  | { is: 'failed'; error: Error };

const kinds: Record<ExportFormat, { name: string; hint: string }> = {
  ndjson: { name: 'NDJSON', hint: 'One JSON object a line, exactly as the API returns it.' },
  csv: { name: 'CSV', hint: 'For spreadsheets; texts that look like formulas are made harmless.' },
};

const counted = (count: number): string => `${count.toLocaleString('en')} event${count === 1 ? '' : 's'}`;

/** The file's name where the server's is not known beforehand. */
const nameNow = (format: ExportFormat): string =>
  `minutebook-${new Date().toISOString().slice(0, 19).replaceAll(/[-:]/g, '')}.${format}`;

/** Saves all events that match the filter, whatever part of them the list has loaded. */
export function ExportDialog({ filter, onClose }: ExportDialogProps) {
  const [format, setFormat] = useState<ExportFormat>('ndjson');
  const [state, setState] = useState<State>({ is: 'ready' });
  const running = useRef<AbortController>(undefined);
  const query = { ...filter, format } as Query;

  const count = useLoad(JSON.stringify(filter), (signal) =>
    callJson<Stats>('/audit/stats', {
      query: { ...(filter as Query), group_by: 'time', buckets: 1 },
      signal,
    }),
  );
  const expected = count.data?.data.reduce((sum, part) => sum + part.count, 0);
  const isAtLeast = count.data?.complete === false;

  useEffect(() => () => running.current?.abort(), []);

  async function start() {
    const controller = new AbortController();
    const { signal } = controller;
    const name = nameNow(format);
    try {
      // First: a picker of files must be opened by the very click.
      const file = await openFile(format, name);
      running.current = controller;
      setState({ is: 'running', progress: { events: 0, bytes: 0 } });
      const response = await call('/audit/export', { query, signal }).catch(async (error: unknown) => {
        await file.abort();
        throw error;
      });
      const onProgress = (progress: Progress) => setState({ is: 'running', progress });
      setState({
        is: 'done',
        result: await saveExport(response, format, file, { name, signal, onProgress }),
      });
    } catch (error) {
      const isAborted = error instanceof DOMException && error.name === 'AbortError';
      // Who picks no file has begun nothing.
      if (isAborted) setState({ is: signal.aborted ? 'cancelled' : 'ready' });
      else setState({ is: 'failed', error: error as Error });
    }
  }

  const isRunning = state.is === 'running';
  const footer = isRunning ? (
    <button type="button" onClick={() => running.current?.abort()}>
      Cancel
    </button>
  ) : (
    <>
      <Copy label="Copy as curl" text={() => curlOf(addressOf('/audit/export', query), '-sS --fail -OJ')} />
      {state.is === 'done' ? (
        <button type="button" class="primary" onClick={onClose}>
          Done
        </button>
      ) : (
        <button type="button" class="primary" onClick={start}>
          <Icon name="download" /> {state.is === 'failed' ? 'Export again' : 'Export'}
        </button>
      )}
    </>
  );

  return (
    <Dialog title="Export" onClose={onClose} footer={footer} closable={!isRunning}>
      <div class="export">
        <Holds filter={filter} />
        {state.is !== 'done' && (
          <>
            <p role="status">
              {count.error !== undefined
                ? `How many events it will hold is not known: ${(count.error as Error).message}`
                : expected === undefined
                  ? 'Counting …'
                  : `${isAtLeast ? 'At least ' : ''}${counted(expected)}, all that match up to now, and not only those in the list.`}
            </p>
            <Formats format={format} isFixed={isRunning} onChange={setFormat} />
          </>
        )}
        {isRunning && <Running progress={state.progress} expected={isAtLeast ? undefined : expected} />}
        {state.is === 'done' && <Done result={state.result} format={format} />}
        {state.is === 'failed' && <Failed error={state.error} />}
        {state.is === 'cancelled' && (
          <p class="notice" role="status">
            The export was cancelled. Nothing was saved.
          </p>
        )}
        {(state.is === 'ready' || state.is === 'cancelled') && (
          <p class="faint">
            Oldest first. The export itself is put on record, with your name and this filter.
          </p>
        )}
      </div>
    </Dialog>
  );
}

/** The filter, in the API's own words. */
function Holds({ filter }: { filter: Filter }) {
  const conditions = Object.entries(filter).filter(([, value]) => value !== undefined);
  if (conditions.length === 0) return <p>Everything that the log keeps.</p>;
  return (
    <ul class="conditions" aria-label="What it will hold">
      {conditions.map(([name, value]) => (
        <li key={name}>
          <span class="faint">{name}</span>{' '}
          {[value].flat().map((one, index) => (
            <>
              {index > 0 && <span class="faint"> or </span>}
              <Text class="mono" of={String(one)} />
            </>
          ))}
        </li>
      ))}
    </ul>
  );
}

type FormatsProps = { format: ExportFormat; isFixed: boolean; onChange: (format: ExportFormat) => void };

function Formats({ format, isFixed, onChange }: FormatsProps) {
  const name = useId();
  return (
    <fieldset disabled={isFixed}>
      <legend class="unseen">Format</legend>
      {(Object.keys(kinds) as ExportFormat[]).map((one) => (
        <label key={one}>
          <input type="radio" name={name} checked={one === format} onChange={() => onChange(one)} />
          <span>
            {kinds[one].name}
            <span class="faint">{kinds[one].hint}</span>
          </span>
        </label>
      ))}
    </fieldset>
  );
}

function Running({
  progress: { events, bytes },
  expected,
}: {
  progress: Progress;
  expected: number | undefined;
}) {
  const label = useId();
  return (
    <div class="running">
      <progress
        aria-labelledby={label}
        {...(expected === undefined ? {} : { max: Math.max(1, expected), value: Math.min(events, expected) })}
      />
      <p id={label}>
        {counted(events)}
        {expected !== undefined && ` of ${expected.toLocaleString('en')}`}, {bytesWords(bytes)}
      </p>
    </div>
  );
}

function Done({ result, format }: { result: Trailer & { bytes: number }; format: ExportFormat }) {
  const { count, first_seq, last_seq, sha256, bytes } = result;
  const check = `sed '$d' FILE.${format} | sha256sum`;
  return (
    <div class="notice done" role="status">
      <p>
        <Icon name="check" /> <strong>The export is whole.</strong>
      </p>
      <p>
        {counted(count)}
        {count > 0 && `, #${first_seq} to #${last_seq}`}, {bytesWords(bytes)}.
      </p>
      <p>
        SHA-256 of all but the last line, as the server counted it:
        <span class="line">
          <code class="mono">{sha256}</code>
          <Copy short="" label="Copy SHA-256" text={sha256} />
        </span>
      </p>
      <p>
        To check the file, now or years from now:
        <span class="line">
          <code class="mono">{check}</code>
          <Copy short="" label="Copy command" text={check} />
        </span>
      </p>
    </div>
  );
}

function Failed({ error }: { error: Error }) {
  const wait = error instanceof ProblemError ? error.retryAfter : undefined;
  return (
    <div class="notice bad" role="alert">
      <p>{error.message}</p>
      <p>
        Nothing was saved.{' '}
        {wait !== undefined && `It may go better in ${wait} second${wait === 1 ? '' : 's'}.`}
      </p>
    </div>
  );
}
