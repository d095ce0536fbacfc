import { useState } from 'preact/hooks';
import type { ChatSession } from '../../../src/core/schemas.ts';
import { Icon } from '../../common/icons.tsx';
import { Text } from '../../common/text.tsx';
import { type Clock, relativeWords } from '../../common/time.ts';
import { usePages } from '../../common/use-pages.ts';
import type { Act, Done } from './act.tsx';
import { ListEnd } from './list-end.tsx';

export type ListProps = {
  clock: Clock;
  isAdmin: boolean;
  /** What was done since this was opened. */
  done: readonly Done[];
  onAct: (act: Act) => void;
  onOpen: (seq: number) => void;
};

/** Who is connected, as of the last look. */
export function Connected({ clock, isAdmin, done, onAct, onOpen }: ListProps) {
  const [query, setQuery] = useState<{ user_id?: string; room?: string }>({});
  const pages = usePages<ChatSession>('/sessions', query);
  const now = Date.now();

  function search(event: Event & { currentTarget: HTMLFormElement }) {
    event.preventDefault();
    const given = [...new FormData(event.currentTarget)].filter(([, value]) => value !== '');
    const next = Object.fromEntries(given);
    // The same again is a look anew.
    if (JSON.stringify(next) === JSON.stringify(query)) pages.refresh();
    else setQuery(next);
  }

  /** What ended a session, as far as this page did it. */
  const endOf = (session: ChatSession): Done | undefined =>
    done.find(
      ({ act, userId }) =>
        (act.is === 'kick' && act.session.session_id === session.session_id) ||
        (act.is === 'ban' && userId === session.user_id),
    );

  return (
    <>
      <form class="search" onSubmit={search}>
        <label>
          user_id
          <input type="search" name="user_id" autocomplete="off" spellcheck={false} />
        </label>
        <label>
          room
          <input type="search" name="room" autocomplete="off" spellcheck={false} />
        </label>
        <button type="submit" disabled={pages.isLoading}>
          <Icon name="refresh" /> Look again
        </button>
      </form>
      {pages.rows !== undefined && pages.rows.length > 0 && (
        <table>
          <caption class="unseen">Open sessions, in the order in which they connected</caption>
          <thead>
            <tr>
              <th scope="col">User</th>
              <th scope="col">Connected</th>
              <th scope="col">Rooms</th>
              <th scope="col">From, on</th>
              {isAdmin && (
                <th scope="col">
                  <span class="unseen">Acts</span>
                </th>
              )}
            </tr>
          </thead>
          <tbody>
            {pages.rows.map((session) => (
              <tr key={session.session_id}>
                <th scope="row">
                  <Text of={session.user_id} />
                </th>
                <td data-label="connected">
                  <button
                    type="button"
                    class="quiet seq"
                    title={`${clock.full(session.connected_at)}: #${session.connected_seq}`}
                    onClick={() => onOpen(session.connected_seq)}
                  >
                    {relativeWords(session.connected_at, now)}
                  </button>
                </td>
                <td class="rooms" data-label="in">
                  {session.rooms.length === 0 && <span class="faint">none</span>}
                  {session.rooms.map((room) => (
                    <Text key={room} of={room} />
                  ))}
                </td>
                <td class="mono faint">
                  {session.ip ?? 'unknown'}
                  <br />
                  {session.instance}
                </td>
                {isAdmin && (
                  <td class="acts">
                    {endOf(session) !== undefined ? (
                      <span class="faint">ended</span>
                    ) : (
                      <>
                        <button
                          type="button"
                          aria-label={`Kick ${session.user_id}`}
                          onClick={() => onAct({ is: 'kick', session })}
                        >
                          Kick
                        </button>
                        <button
                          type="button"
                          aria-label={`Ban ${session.user_id}`}
                          onClick={() => onAct({ is: 'ban', userId: session.user_id })}
                        >
                          Ban
                        </button>
                      </>
                    )}
                  </td>
                )}
              </tr>
            ))}
          </tbody>
        </table>
      )}
      <ListEnd pages={pages} empty="Nobody is connected." thing="session" />
    </>
  );
}
