import { Text } from '../../common/text.tsx';
import { canAdd, valuesOf, withoutValue, withValue, withValues } from '../filter.ts';
import { facets, problem } from '../log.ts';
import { change, view } from '../view.ts';
import { type FacetName, facetNames, shownCounts } from './counts.ts';
import './facets.css';

/** The most frequent values, with their counts: each filters. */
export const FacetColumn = () => (
  <aside class="facets" aria-label="Counts by value">
    {facetNames.map((name) => (
      <FacetList key={name} name={name} />
    ))}
  </aside>
);

function FacetList({ name }: { name: FacetName }) {
  const facet = facets.value[name];
  const { filter } = view.value;
  const chosen = valuesOf(filter, name);
  const most = Math.max(1, ...(facet?.counts ?? []).map(({ count }) => count));

  function toggle(value: string, adds: boolean) {
    if (chosen.includes(value)) return change({ filter: withoutValue(filter, name, value) });
    change({
      filter: adds && canAdd(name) ? withValue(filter, name, value) : withValues(filter, name, [value]),
    });
  }
  return (
    <section>
      <h2>{name}</h2>
      {facet === undefined ? (
        <p class="faint">{problem.value === undefined ? '…' : 'not known'}</p>
      ) : facet.counts.length === 0 && chosen.length === 0 ? (
        <p class="faint">none</p>
      ) : (
        <ul>
          {shownCounts(facet, filter, name).map(({ value, count }) => (
            <li key={value} class={chosen.includes(value) ? 'chosen' : undefined}>
              <button
                type="button"
                class="quiet value"
                aria-pressed={chosen.includes(value)}
                title={value}
                onClick={(event) => toggle(value, event.ctrlKey || event.metaKey)}
              >
                <span class="bar" style={{ width: `${((count ?? 0) / most) * 100}%` }} />
                <Text of={value} class="clip" />
                <span class="count">{count?.toLocaleString('en') ?? ''}</span>
              </button>
              {chosen.length > 0 && canAdd(name) && !chosen.includes(value) && (
                <button
                  type="button"
                  class="quiet square"
                  aria-label={`Add ${value}`}
                  title="Add (OR)"
                  onClick={() => toggle(value, true)}
                >
                  +
                </button>
              )}
            </li>
          ))}
        </ul>
      )}
      {facet?.isComplete === false && <p class="faint">Counting took too long: of the newest events only.</p>}
    </section>
  );
}
