import type { AuditEvent } from '../../../src/core/schemas.ts';
import { Icon } from '../../common/icons.tsx';
import { Text } from '../../common/text.tsx';
import type { Clock } from '../../common/time.ts';
import type { Filter } from '../filter.ts';

/** What a field of an event can be filtered by. */
type FieldFilter = Exclude<keyof Filter, 'from' | 'to' | 'q'>;
export type OnFilter = (name: FieldFilter, value: string) => void;

type FieldProps = {
  name: string;
  value: string;
  /** What filters by it; the first is the plain one. */
  filters: readonly FieldFilter[];
  onFilter: OnFilter;
};

/** A field with its value, and a button for each way to filter by it. */
const Field = ({ name, value, filters, onFilter }: FieldProps) => (
  <>
    <dt>{name}</dt>
    <dd>
      <Text class="mono value" of={value} />
      {filters.map((filter) => (
        <button
          key={filter}
          type="button"
          class="quiet by"
          aria-label={`Filter by ${filter} ${value}`}
          title={`Only ${filter}:${value}`}
          onClick={() => onFilter(filter, value)}
        >
          <Icon name="filter" />
          {filter !== name && filter}
        </button>
      ))}
    </dd>
  </>
);

/** The fields that can be filtered by, and how. */
const filtersOf: readonly (readonly [keyof AuditEvent, ...FieldFilter[]])[] = [
  ['action', 'action'],
  ['user_id', 'user_id', 'involves'],
  ['target_user_id', 'target_user_id', 'involves'],
  ['room', 'room'],
  ['session_id', 'session_id'],
  ['ip', 'ip'],
  ['instance'],
];

/** Who, what, where: what can be filtered by. */
export const Fields = ({ event, onFilter }: { event: AuditEvent; onFilter: OnFilter }) => (
  <dl class="fields">
    {filtersOf.map(([name, ...filters]) => {
      const value = event[name];
      if (typeof value !== 'string') return null;
      return <Field key={name} name={name} value={value} filters={filters} onFilter={onFilter} />;
    })}
  </dl>
);

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

/** What is a name or a code rather than a sentence. */
const WORD = /^[\w./:*-]+$/;

/** A value of an action's details. */
function Detail({ value, clock }: { value: unknown; clock: Clock }) {
  if (value === null) return <span class="faint">none</span>;
  if (typeof value === 'string') {
    return LOG_TIME.test(value) ? (
      <time class="mono" dateTime={value} title={value}>
        {clock.full(value)}
      </time>
    ) : (
      <Text class={WORD.test(value) ? 'mono' : 'said'} of={value === '' ? '“”' : value} />
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
