import { useMemo, useState } from 'preact/hooks';
import { Dialog } from '../../common/dialog.tsx';
import { Text } from '../../common/text.tsx';
import { Clock, timeZoneOf, type Zone } from '../../common/time.ts';
import { identity } from '../../common/token.ts';
import { type Act, ActDialog, type Done } from './act.tsx';
import { Banned } from './banned.tsx';
import { Connected } from './connected.tsx';
import './sessions.css';

export type SessionsProps = {
  zone: Zone;
  onClose: () => void;
  /** Wants to see an event of the log. */
  onOpen: (seq: number) => void;
};

const views = { connected: 'Connected', banned: 'Banned' } as const;
type View = keyof typeof views;

const outcome = { kick: 'The session of', ban: 'The user', lift: 'The ban of' } as const;
const ended = { kick: 'has ended', ban: 'is banned', lift: 'is lifted' } as const;

/** Who is connected and who is banned, and what an administrator may do about it. */
export function Sessions({ zone, onClose, onOpen }: SessionsProps) {
  const [view, setView] = useState<View>('connected');
  const [act, setAct] = useState<Act>();
  const [done, setDone] = useState<readonly Done[]>([]);
  const clock = useMemo(() => new Clock(timeZoneOf(zone)), [zone]);
  const scopes = identity.value?.scopes ?? new Set();
  const isAdmin = scopes.has('admin');
  const last = done.at(-1);
  const props = { clock, isAdmin, done, onAct: setAct, onOpen };
  const List = view === 'connected' ? Connected : Banned;

  return (
    <Dialog kind="wide" title="Sessions" onClose={onClose}>
      <div class="sessions">
        <div class="views">
          {(Object.keys(views) as View[]).map((one) => (
            <button key={one} type="button" aria-pressed={one === view} onClick={() => setView(one)}>
              {views[one]}
            </button>
          ))}
        </div>
        {!isAdmin && (
          <p class="faint">
            To kick and to ban takes the scope <code>admin</code>; your token holds{' '}
            <code>{[...scopes].join(' ') || 'none'}</code>.
          </p>
        )}
        <div role="status">
          {last !== undefined && (
            <p class="notice done">
              {outcome[last.act.is]} <Text of={last.userId} /> {ended[last.act.is]}. On record as{' '}
              <button type="button" class="quiet seq mono" onClick={() => onOpen(last.seq)}>
                #{last.seq}
              </button>
            </p>
          )}
        </div>
        <List {...props} />
      </div>
      {act !== undefined && (
        <ActDialog
          act={act}
          clock={clock}
          onClose={() => setAct(undefined)}
          onDone={(one) => {
            setAct(undefined);
            setDone([...done, one]);
          }}
        />
      )}
    </Dialog>
  );
}
