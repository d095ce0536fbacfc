import { useId, useState } from 'preact/hooks';
import type { ChatSession } from '../../../src/core/schemas.ts';
import { type Call, callJson } from '../../common/api.ts';
import { Dialog } from '../../common/dialog.tsx';
import { Text } from '../../common/text.tsx';
import type { Clock } from '../../common/time.ts';
import { type BanEndChoice, banEnd, banEnds } from './ban-end.ts';

/** What an administrator is about to do. Of a ban without a user it is asked who. */
export type Act =
  | { is: 'kick'; session: ChatSession }
  | { is: 'ban'; userId: string | undefined }
  | { is: 'lift'; userId: string };

/** What was done, and where that stands in the log. */
export type Done = { act: Act; userId: string; seq: number };

export type ActDialogProps = {
  act: Act;
  clock: Clock;
  onClose: () => void;
  onDone: (done: Done) => void;
};

/** As the API has it. */
const MAX_REASON = 500;

const userOf = (act: Act): string | undefined => (act.is === 'kick' ? act.session.user_id : act.userId);

const title = { kick: 'End a session', ban: 'Ban a user', lift: 'Lift a ban' } as const;
const verb = { kick: 'End the session', ban: 'Ban', lift: 'Lift the ban' } as const;

function Effect({ act }: { act: Act }) {
  const name = <Text of={userOf(act) ?? ''} />;
  switch (act.is) {
    case 'kick':
      return <p>This session of {name} ends at once, and says nothing more. They may connect again.</p>;
    case 'ban':
      return (
        <p>
          All sessions of {act.userId === undefined ? 'the user' : name} end, and the server refuses them
          everywhere.
        </p>
      );
    case 'lift':
      return <p>{name} may connect again from now on.</p>;
  }
}

/** Asks for the reason, and does it. */
export function ActDialog({ act, clock, onClose, onDone }: ActDialogProps) {
  const formId = useId();
  const [user, setUser] = useState(userOf(act) ?? '');
  const [reason, setReason] = useState('');
  const [choice, setChoice] = useState<BanEndChoice>('1d');
  const [wall, setWall] = useState('');
  const [fault, setFault] = useState<string>();
  const [isBusy, setBusy] = useState(false);

  /** What the API is asked; undefined when the form has a fault, which is then told. */
  function request(): [path: string, call: Call] | undefined {
    const why = { reason: reason.trim() };
    if (act.is === 'kick') return [`/sessions/${act.session.session_id}`, { method: 'DELETE', body: why }];
    const path = `/bans/${encodeURIComponent(user)}`;
    if (act.is === 'lift') return [path, { method: 'DELETE', body: why }];
    const end = banEnd(choice, wall, clock, Date.now());
    if ('fault' in end) {
      setFault(end.fault);
      return undefined;
    }
    return [path, { method: 'PUT', body: { ...why, ...end } }];
  }

  async function submit(event: Event) {
    event.preventDefault();
    setFault(undefined);
    if (reason.trim() === '') {
      setFault('Say why: the reason is put on record.');
      return;
    }
    const asked = request();
    if (asked === undefined) return;
    setBusy(true);
    try {
      const { seq } = await callJson<{ seq: number }>(...asked);
      onDone({ act, userId: user, seq });
    } catch (error) {
      setFault((error as Error).message);
      setBusy(false);
    }
  }

  const footer = (
    <>
      <button type="button" onClick={onClose} disabled={isBusy}>
        Cancel
      </button>
      <button type="submit" form={formId} class={act.is === 'lift' ? 'primary' : 'danger'} disabled={isBusy}>
        {verb[act.is]}
      </button>
    </>
  );
  return (
    <Dialog title={title[act.is]} onClose={onClose} footer={footer} closable={!isBusy}>
      <form id={formId} class="act" onSubmit={submit}>
        <Effect act={act} />
        {act.is === 'ban' && act.userId === undefined && (
          <label>
            user_id
            <input
              type="text"
              autofocus
              required
              autocomplete="off"
              spellcheck={false}
              value={user}
              onInput={({ currentTarget }) => setUser(currentTarget.value)}
            />
          </label>
        )}
        <label>
          Reason
          <textarea
            autofocus={act.is !== 'ban' || act.userId !== undefined}
            required
            rows={2}
            maxLength={MAX_REASON}
            value={reason}
            onInput={({ currentTarget }) => setReason(currentTarget.value)}
          />
          <span class="faint">
            {act.is === 'ban' ? 'Put on record, and shown to the user.' : 'Put on record, with your name.'}
          </span>
        </label>
        {act.is === 'ban' && (
          <div class="end">
            <label>
              It ends
              <select
                value={choice}
                onChange={({ currentTarget }) => setChoice(currentTarget.value as BanEndChoice)}
              >
                {Object.entries(banEnds).map(([value, { words }]) => (
                  <option key={value} value={value}>
                    {words}
                  </option>
                ))}
              </select>
            </label>
            {choice === 'date' && (
              <label>
                Time ({clock.timeZone})
                <input
                  type="datetime-local"
                  required
                  min={clock.input(Date.now())}
                  value={wall}
                  onInput={({ currentTarget }) => setWall(currentTarget.value)}
                />
              </label>
            )}
          </div>
        )}
        {fault !== undefined && (
          <p class="notice bad" role="alert">
            {fault}
          </p>
        )}
      </form>
    </Dialog>
  );
}
