import { useCallback, useEffect, useState } from 'preact/hooks';

export type Loaded<T> = {
  /** The last answer; undefined: none yet. */
  data: T | undefined;
  /** Why the last question has no answer. */
  error: unknown;
  isLoading: boolean;
  /** Asks again. */
  again: () => void;
};

type State<T> = { key: string; data?: T; error?: unknown; isLoading: boolean };

/**
 * Asks once for each key; what is no longer wanted is cancelled. Nothing is asked again by itself, for whoever reads the
 * log is in the log.
 *
 * @param key what is asked for; undefined: nothing
 */
export function useLoad<T>(key: string | undefined, load: (signal: AbortSignal) => Promise<T>): Loaded<T> {
  const [turn, setTurn] = useState(0);
  const [state, setState] = useState<State<T>>({ key: '', isLoading: false });

  // The key alone stands for what `load` asks for.
  useEffect(() => {
    if (key === undefined) return;
    const controller = new AbortController();
    const settle = (settled: { data: T } | { error: unknown }) => {
      if (!controller.signal.aborted) setState({ key, ...settled, isLoading: false });
    };
    setState((before) => ({
      ...(before.key === key && 'data' in before ? before : {}),
      key,
      isLoading: true,
    }));
    load(controller.signal).then(
      (data) => settle({ data }),
      (error: unknown) => settle({ error }),
    );
    return () => controller.abort();
  }, [key, turn]);

  const again = useCallback(() => setTurn((before) => before + 1), []);
  // Of another key, nothing is shown.
  const current = state.key === key ? state : undefined;
  return {
    data: current?.data,
    error: current?.error,
    isLoading: key !== undefined && (current?.isLoading ?? true),
    again,
  };
}
