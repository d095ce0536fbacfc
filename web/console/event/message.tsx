import { useState } from 'preact/hooks';
import { beginningOf } from '../../common/beginning.ts';
import { Text } from '../../common/text.tsx';

/** What somebody said: its beginning, and on demand all of it. */
export function Message({ text }: { text: string }) {
  const [isWhole, setWhole] = useState(false);
  const beginning = beginningOf(text);
  return (
    <div class="message">
      <blockquote class="said" dir="auto">
        <Text of={isWhole || beginning === undefined ? text : `${beginning}…`} />
      </blockquote>
      {beginning !== undefined && (
        <button type="button" aria-expanded={isWhole} onClick={() => setWhole(!isWhole)}>
          {isWhole ? 'Show less' : `Show all ${text.length.toLocaleString('en')} characters`}
        </button>
      )}
    </div>
  );
}
