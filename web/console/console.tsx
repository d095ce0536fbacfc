import { useEffect } from 'preact/hooks';
import { ProblemError } from '../common/api.ts';
import { identity } from '../common/token.ts';
import { FilterBar } from './chips/bar.tsx';
import { EventDrawer } from './event/drawer.tsx';
import { ExportDialog } from './export/dialog.tsx';
import { FacetColumn } from './facets/facets.tsx';
import { withValues } from './filter.ts';
import { Header } from './header.tsx';
import { Help } from './help.tsx';
import { totalOf } from './histogram/buckets.ts';
import { HistogramView } from './histogram/histogram.tsx';
import { followKeys } from './keys.ts';
import { List, neighbour, shownEvents, step } from './list/list.tsx';
import { histogram, problem, reading, rows } from './log.ts';
import { Sessions } from './sessions/sessions.tsx';
import { SignIn, type SignInReason } from './sign-in/sign-in.tsx';
import { change, linkTo, view } from './view.ts';

/** Why a token is asked for; undefined: there is one that will do. */
function signInReason(): SignInReason | undefined {
  const who = identity.value;
  const error = problem.value;
  if (who === undefined) return { is: 'none' };
  if (error instanceof ProblemError && error.status === 401) {
    return who.expiresAt <= Date.now() ? { is: 'expired' } : { is: 'refused', detail: error.message };
  }
  if (who.scopes.has('audit:read')) return undefined;
  return { is: 'refused', detail: 'it does not allow to read the log; that takes the scope audit:read.' };
}

export function Console() {
  useEffect(followKeys, []);
  const { zone, panel, event } = view.value;
  const reason = signInReason();
  const close = () => change({ panel: undefined });
  const isOld = rows.value === undefined;
  return (
    <div data-old={isOld} class={event !== undefined && reason === undefined ? 'console beside' : 'console'}>
      <Header isOpen={reason === undefined} />
      {reason !== undefined ? (
        <main class="gate">
          <SignIn
            reason={reason}
            onSignedIn={() => {
              problem.value = undefined;
            }}
          />
        </main>
      ) : (
        <>
          <FilterBar />
          <main class="main">
            <FacetColumn />
            <div class="content">
              <Total />
              <HistogramView />
              <List />
            </div>
          </main>
          {panel === 'export' && <ExportDialog filter={view.value.filter} onClose={close} />}
          {panel === 'sessions' && (
            <Sessions
              zone={zone}
              onClose={close}
              onOpen={(seq) => change({ panel: undefined, event: seq })}
            />
          )}
          {panel === 'help' && <Help onClose={close} />}
          {event !== undefined && <Opened seq={event} />}
        </>
      )}
    </div>
  );
}

/** How many match, told also to those who do not see the histogram. */
function Total() {
  const shown = histogram.value;
  // That of another filter would be a wrong answer to this one.
  const isOld = rows.value === undefined;
  const total = shown === undefined || isOld ? undefined : totalOf(shown);
  const unknown = reading.value === 'first' ? '…' : '\u00a0';
  return (
    <p class="total" role="status">
      {total === undefined
        ? unknown
        : `${shown?.isComplete === false ? 'at least ' : ''}${total.toLocaleString('en')} event${total === 1 ? '' : 's'}`}
      {shown?.refused.some((count) => count > 0) && (
        <span class="legend faint">
          <span class="swatch" /> refused
        </span>
      )}
    </p>
  );
}

function Opened({ seq }: { seq: number }) {
  const { zone, filter } = view.value;
  const events = shownEvents();
  return (
    <EventDrawer
      seq={seq}
      event={events.find((one) => one.seq === seq)}
      zone={zone}
      onClose={() => change({ event: undefined })}
      onFilter={(name, value) => change({ filter: withValues(filter, name, [value]) })}
      onOpen={(other) => change({ event: other })}
      onStep={step}
      hasAbove={events.some((one) => one.seq === seq) && neighbour(seq, -1) !== undefined}
      hasBelow={neighbour(seq, 1) !== undefined}
      linkTo={(other) => linkTo({ event: other })}
    />
  );
}
