import { useEffect, useState } from 'preact/hooks';
import { cancel, reading } from '../log.ts';

/** How long a read may take before it is spoken of. */
const PATIENCE_MS = 1_000;

/** A read that takes long, and the way to give it up. */
export function Slow() {
  const isReading = reading.value === 'first';
  const [isSlow, setSlow] = useState(false);
  useEffect(() => {
    setSlow(false);
    if (!isReading) return;
    const timer = setTimeout(setSlow, PATIENCE_MS, true);
    return () => clearTimeout(timer);
  }, [isReading]);
  return (
    <div role="status" class="slow-place">
      {isReading && isSlow && (
        <p class="notice slow">
          Still looking …{' '}
          <button type="button" onClick={cancel}>
            Cancel
          </button>
        </p>
      )}
    </div>
  );
}
