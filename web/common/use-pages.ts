import { useCallback, useEffect, useRef, useState } from 'preact/hooks';
import { callJson, type Query } from './api.ts';

type Page<T> = { data: T[]; has_more: boolean; next_cursor: string | null };

export type Pages<T> = {
  /** What has been read so far; undefined: nothing yet. */
  rows: T[] | undefined;
  hasMore: boolean;
  error: unknown;
  isLoading: boolean;
  /** Reads the next page. */
  more: () => void;
  /** Reads anew from the beginning; what was read is shown until then. */
  refresh: () => void;
};

type State<T> = { rows?: T[]; cursor?: string | undefined; error?: unknown; isLoading: boolean };

/** A list of the API that comes in pages, the first by itself and the next ones when they are wanted. */
export function usePages<T>(path: string, query: Query, isWanted = true): Pages<T> {
  const [state, setState] = useState<State<T>>({ isLoading: false });
  const running = useRef<AbortController>(undefined);
  const key = JSON.stringify([path, query, isWanted]);

  async function load(before: T[] | undefined, cursor: string | undefined) {
    running.current?.abort();
    running.current = new AbortController();
    const { signal } = running.current;
    setState(({ error: _, ...rest }) => ({ ...rest, isLoading: true }));
    try {
      const page = await callJson<Page<T>>(path, { query: { ...query, cursor }, signal });
      if (signal.aborted) return;
      setState({
        rows: [...(before ?? []), ...page.data],
        cursor: page.has_more ? (page.next_cursor ?? undefined) : undefined,
        isLoading: false,
      });
    } catch (error) {
      if (!signal.aborted) setState((rest) => ({ ...rest, error, isLoading: false }));
    }
  }

  const refresh = useCallback(() => void load(undefined, undefined), [key]);
  useEffect(() => {
    if (isWanted) refresh();
    return () => running.current?.abort();
  }, [key]);

  const { rows, cursor, error, isLoading } = state;
  return {
    rows,
    hasMore: cursor !== undefined,
    error,
    isLoading,
    more: () => void load(rows, cursor),
    refresh,
  };
}
