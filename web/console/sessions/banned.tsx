import { useEffect } from 'preact/hooks';
import type { Ban } from '../../../src/core/bans.ts';
import { Icon } from '../../common/icons.tsx';
import { Text } from '../../common/text.tsx';
import { relativeWords } from '../../common/time.ts';
import { usePages } from '../../common/use-pages.ts';
import type { ListProps } from './connected.tsx';
import { ListEnd } from './list-end.tsx';

/** The bans in force. Each act of this page changes them, so they are read again after it. */
export function Banned({ clock, isAdmin, done, onAct, onOpen }: ListProps) {
  const pages = usePages<Ban>('/bans', {}, isAdmin);
  useEffect(() => {
    if (done.length > 0) pages.refresh();
  }, [done.length]);
  if (!isAdmin) return <p>Who is banned is shown to administrators alone.</p>;
  const now = Date.now();
  return (
    <>
      <div class="search">
        <button type="button" onClick={() => onAct({ is: 'ban', userId: undefined })}>
          Ban a user …
        </button>
        <button type="button" disabled={pages.isLoading} onClick={pages.refresh}>
          <Icon name="refresh" /> Look again
        </button>
      </div>
      {pages.rows !== undefined && pages.rows.length > 0 && (
        <table>
          <caption class="unseen">Bans in force, in the order in which they were pronounced</caption>
          <thead>
            <tr>
              <th scope="col">User</th>
              <th scope="col">Reason</th>
              <th scope="col">Until</th>
              <th scope="col">By</th>
              <th scope="col">
                <span class="unseen">Acts</span>
              </th>
            </tr>
          </thead>
          <tbody>
            {pages.rows.map((ban) => (
              <tr key={ban.user_id}>
                <th scope="row">
                  <Text of={ban.user_id} />
                </th>
                <td>
                  <Text class="said" of={ban.reason} />
                </td>
                <td data-label="until">
                  {ban.until === null ? (
                    'it is lifted'
                  ) : (
                    <time dateTime={ban.until} title={relativeWords(ban.until, now)}>
                      {clock.minute(ban.until)}
                    </time>
                  )}
                </td>
                <td data-label="by">
                  <Text of={ban.banned_by ?? 'the server'} />{' '}
                  <button
                    type="button"
                    class="quiet seq"
                    title={clock.full(ban.banned_at)}
                    onClick={() => onOpen(ban.seq)}
                  >
                    {relativeWords(ban.banned_at, now)}
                  </button>
                </td>
                <td class="acts">
                  <button
                    type="button"
                    aria-label={`Lift the ban of ${ban.user_id}`}
                    onClick={() => onAct({ is: 'lift', userId: ban.user_id })}
                  >
                    Lift
                  </button>
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      <ListEnd pages={pages} empty="Nobody is banned." thing="ban" />
    </>
  );
}
