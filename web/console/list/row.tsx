import type { AuditEvent } from '../../../src/core/schemas.ts';
import { Text } from '../../common/text.tsx';
import type { Clock } from '../../common/time.ts';
import { Said } from '../event/said.tsx';
import { wordsOf } from '../event/words.ts';
import { isRefusal } from '../histogram/buckets.ts';
import { look } from '../log.ts';
import { linkTo } from '../view.ts';
import type { Item } from './rows.ts';

/** As much of a message as a line can show. */
const SHOWN = 400;

export type RowProps = { item: Item; index: number; isOpen: boolean; isActive: boolean; clock: Clock };

export function ListRow({ item, index, isOpen, isActive, clock }: RowProps) {
  if (item.is === 'day') {
    return (
      <tr class="day" aria-rowindex={index + 2}>
        <th colSpan={5} scope="rowgroup">
          {item.words}
        </th>
      </tr>
    );
  }
  if (item.is === 'gap') {
    return (
      <tr class="gap" aria-rowindex={index + 2}>
        <td colSpan={5}>
          <span class="clip">{item.words}</span>{' '}
          <button type="button" onClick={() => void look()}>
            Load
          </button>
        </td>
      </tr>
    );
  }
  const { event } = item;
  const { time, fraction } = clock.read(event.timestamp);
  return (
    <tr
      class={`event-row${isRefusal(event.action) ? ' refusal' : ''}`}
      aria-rowindex={index + 2}
      aria-current={isOpen ? 'true' : undefined}
      data-seq={event.seq}
    >
      <td class="time">
        <a
          href={linkTo({ event: event.seq })}
          tabIndex={isActive ? 0 : -1}
          title={`${clock.full(event.timestamp)} · ${event.timestamp}`}
        >
          <span class="unseen">#{event.seq} </span>
          <time dateTime={event.timestamp}>
            {time}
            <span class="faint">.{fraction.slice(0, 3)}</span>
          </time>
        </a>
      </td>
      <td class="action">{event.action}</td>
      <td class="user">{event.user_id !== null && <Text of={event.user_id} class="clip" />}</td>
      <td class="where">
        <Where event={event} />
      </td>
      <td class="summary">
        <div class="clip">
          <Summary event={event} clock={clock} />
        </div>
      </td>
    </tr>
  );
}

/** The room, or to whom it was done. */
function Where({ event: { room, target_user_id } }: { event: AuditEvent }) {
  if (target_user_id !== null)
    return (
      <span class="clip">
        to <Text of={target_user_id} />
      </span>
    );
  return room === null ? null : <Text of={room} class="clip" />;
}

function Summary({ event, clock }: { event: AuditEvent; clock: Clock }) {
  if (event.message !== null) return <Text of={event.message.slice(0, SHOWN)} class="message-text" />;
  if (event.erased_by !== null) return <em class="faint">erased by #{event.erased_by}</em>;
  const words = wordsOf(event, clock);
  return words === undefined ? null : (
    <span class="faint">
      <Said words={words} />
    </span>
  );
}
