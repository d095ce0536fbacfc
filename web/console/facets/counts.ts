import type { AuditEvent } from '../../../src/core/schemas.ts';
import { type Filter, valuesOf, withValues } from '../filter.ts';

/** What events are counted by. */
export const facetNames = ['action', 'user_id', 'room'] as const;
export type FacetName = (typeof facetNames)[number];

/** How many values of one are shown. */
export const MOST = 10;

export type Count = { value: string; count: number };
export type Facet = { counts: readonly Count[]; isComplete: boolean };
export type Facets = Partial<Record<FacetName, Facet>>;

/** What a facet is counted with: the filter without its own name. */
export const filterFor = (filter: Filter, name: FacetName): Filter => withValues(filter, name, []);

/** Counts events that came since, where all values are known or theirs is. */
export function countFacets(facets: Facets, events: readonly AuditEvent[]): Facets {
  const next: Facets = {};
  for (const name of facetNames) {
    const facet = facets[name];
    if (facet === undefined) continue;
    const counts = new Map(facet.counts.map(({ value, count }) => [value, count]));
    for (const event of events) {
      const value = event[name];
      if (value === null || (!counts.has(value) && counts.size >= MOST)) continue;
      counts.set(value, (counts.get(value) ?? 0) + 1);
    }
    next[name] = {
      ...facet,
      counts: [...counts].map(([value, count]) => ({ value, count })).sort((a, b) => b.count - a.count),
    };
  }
  return next;
}

/** The counts with those values that are chosen but are not among the most frequent. */
export function shownCounts(
  facet: Facet,
  filter: Filter,
  name: FacetName,
): (Count | { value: string; count: undefined })[] {
  const known = new Set(facet.counts.map(({ value }) => value));
  const others = valuesOf(filter, name).filter((value) => !known.has(value));
  return [...facet.counts, ...others.map((value) => ({ value, count: undefined }))];
}
