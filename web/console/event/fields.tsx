import type { ComponentChildren } from 'preact';
import type { AuditEvent } from '../../../src/core/schemas.ts';
import { Icon } from '../../shared/icons.tsx';
import { Text } from '../../shared/text.tsx';
import type { Clock } from '../../shared/time.ts';
import type { Filter } from '../filter.ts';

export type OnFilter = (filter: Filter) => void;

type FieldProps = {
  name: string;
  value: string | null;
  onFilter: OnFilter;
  /** What filters by it; the first is the plain one. */
  filters: readonly Filter[];
  children?: ComponentChildren;
};

/** A field with its value, and a button for each way to filter by it. */
function Field({ name, value, filters, onFilter, children }: FieldProps) {
  if (value === null) return null;
  return (
    <>
      <dt>{name}</dt>
      <dd>
        <Text class="mono value" of={value} />
        {filters.map((filter) => {
          const [parameter = ''] = Object.keys(filter);
          return (
            <button
              key={parameter}
              type="button"
              class="quiet by"
              aria-label={`Filter by ${parameter} ${value}`}
              title={`Only ${parameter} = ${value}`}
              onClick={() => onFilter(filter)}
            >
              <Icon name="filter" />
              {parameter !== name && parameter}
            </button>
          );
        })}
        {children}
      </dd>
    </>
  );
}

/** Who, what, where: what can be filtered by. */
export function Fields({ event, onFilter }: { event: AuditEvent; onFilter: OnFilter }) {
  const { action, user_id, target_user_id, room, session_id, ip, instance } = event;
  const field = (name: string, value: string | null, ...filters: Filter[]) => (
    <Field name={name} value={value} filters={filters} onFilter={onFilter} />
  );
  const involving = (user: string | null): Filter[] => (user === null ? [] : [{ involves: user }]);
  return (
    <dl class="fields">
      {field('action', action, { action: [action] })}
      {user_id !== null && field('user_id', user_id, { user_id: [user_id] }, ...involving(user_id))}
      {target_user_id !== null &&
        field('target_user_id', target_user_id, { target_user_id }, ...involving(target_user_id))}
      {room !== null && field('room', room, { room })}
      {session_id !== null && field('session_id', session_id, { session_id })}
      {ip !== null && field('ip', ip, { ip })}
      {field('instance', instance)}
    </dl>
  );
}

/** A time in the zone that was chosen, and in UTC where that is another. */
function Time({ name, text, clock }: { name: string; text: string; clock: Clock }) {
  return (
    <>
      <dt>{name}</dt>
      <dd>
        <span class="stack">
          <time class="mono" dateTime={text}>
            {clock.full(text)}
          </time>
          {clock.timeZone !== 'UTC' && <span class="mono faint">{text}</span>}
        </span>
      </dd>
    </>
  );
}

export const Times = ({ event, clock }: { event: AuditEvent; clock: Clock }) => (
  <dl class="fields times">
    <Time name="timestamp" text={event.timestamp} clock={clock} />
    <Time name="occurred_at" text={event.occurred_at} clock={clock} />
  </dl>
);

const LOG_TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/;

/** A value of an action's details. */
function Detail({ value, clock }: { value: unknown; clock: Clock }) {
  if (value === null) return <span class="faint">none</span>;
  if (typeof value === 'string') {
    return LOG_TIME.test(value) ? (
      <time class="mono" dateTime={value} title={value}>
        {clock.full(value)}
      </time>
    ) : (
      <Text class="said" of={value === '' ? '“”' : value} />
    );
  }
  if (typeof value !== 'object') return <span class="mono">{String(value)}</span>;
  const entries = Object.entries(value);
  if (entries.length === 0) return <span class="faint">none</span>;
  if (Array.isArray(value)) {
    return (
      <ul class="values">
        {value.map((one, index) => (
          <li key={index}>
            <Detail value={one} clock={clock} />
          </li>
        ))}
      </ul>
    );
  }
  return <Details details={value as Record<string, unknown>} clock={clock} />;
}

/** What an action carries beyond the fields, name by name. */
export const Details = ({ details, clock }: { details: Record<string, unknown>; clock: Clock }) => (
  <dl class="fields">
    {Object.entries(details).map(([name, value]) => (
      <>
        <dt>{name}</dt>
        <dd>
          <Detail value={value} clock={clock} />
        </dd>
      </>
    ))}
  </dl>
);
