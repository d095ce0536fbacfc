import { useEffect, useState } from 'preact/hooks';
import { Text } from '../common/text.tsx';
import { connection, connectionState } from './session.ts';
import { TokenForm } from './sign-in.tsx';

/** Counts down to a time of the connection’s clock. */
function Seconds({ until }: { until: number }) {
  const left = (): number => Math.max(0, Math.ceil((until - performance.now()) / 1_000));
  const [seconds, setSeconds] = useState(left);
  useEffect(() => {
    setSeconds(left());
    const timer = setInterval(() => setSeconds(left()), 250);
    return () => clearInterval(timer);
  }, [until]);
  return <>{seconds} s</>;
}

/** Why there is no connection, and what can be done; nothing while there is one. */
export function Banner() {
  const state = connectionState.value;
  if (state.at === 'open' || state.at === 'closed') return null;
  // The first attempt mostly takes no time; the header says enough.
  if (state.at === 'opening' && state.trouble === undefined) return null;
  const { trouble } = state;
  const isWanted = trouble?.closeCode === 1000;
  const weight = isWanted ? '' : state.at === 'ended' ? 'bad' : 'warn';
  return (
    <section class={`banner notice ${weight}`} aria-label="Connection">
      <p class="what" role="status">
        <Text of={trouble?.what ?? ''} />
      </p>
      {state.at === 'opening' && <p>Connecting …</p>}
      {state.at === 'waiting' && (
        <>
          <p>
            Reconnecting in <Seconds until={state.until} />
          </p>
          <button type="button" onClick={() => connection.retryNow()}>
            Now
          </button>
        </>
      )}
      {state.at === 'ended' && trouble?.cure === 'ask' && (
        <button type="button" onClick={() => connection.start()}>
          Connect again
        </button>
      )}
      {state.at === 'ended' && trouble?.cure === 'sign-in' && <TokenForm />}
    </section>
  );
}
