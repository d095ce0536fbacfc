import { useState } from 'preact/hooks';
import { Text } from '../../shared/text.tsx';

/** As much of a message as is shown unasked, in UTF-16 units. */
const SHORT = 1_200;
const SHORT_LINES = 16;

/** The first part of a text, cut between characters; the whole text when it is short. */
export function beginningOf(text: string): string {
  const lines = text.slice(0, SHORT).split('\n');
  const short = lines.slice(0, SHORT_LINES).join('\n');
  // No half of a surrogate pair at the end.
  return short.length < text.length ? short.replace(/[\ud800-\udbff]$/, '') : text;
}

/** What somebody said: its beginning, and on demand all of it. */
export function Message({ text }: { text: string }) {
  const [isWhole, setWhole] = useState(false);
  const beginning = beginningOf(text);
  const isCut = beginning.length < text.length;
  return (
    <div class="message">
      <blockquote class="said" dir="auto">
        <Text of={isWhole ? text : beginning} />
        {isCut && !isWhole && '…'}
      </blockquote>
      {isCut && (
        <button type="button" aria-expanded={isWhole} onClick={() => setWhole(!isWhole)}>
          {isWhole ? 'Show less' : `Show all ${text.length.toLocaleString('en')} characters`}
        </button>
      )}
    </div>
  );
}
