import { useLayoutEffect, useRef, useState } from 'preact/hooks';
import type { Room } from './room.ts';
import { conversation } from './session.ts';
import { bytesOver } from './text.ts';

/** What is written and not said yet, by room: one may look into another meanwhile. */
const drafts = new Map<string, string>();

const number = new Intl.NumberFormat();

/** Where one writes. */
export function Composer({ room: { name } }: { room: Room }) {
  const [text, setText] = useState(drafts.get(name) ?? '');
  const field = useRef<HTMLTextAreaElement>(null);
  useLayoutEffect(() => field.current?.focus(), []);
  const over = bytesOver(name, text);
  const write = (next: string): void => {
    drafts.set(name, next);
    setText(next);
  };
  const say = (event: Event): void => {
    event.preventDefault();
    if (over > 0 || text.trim() === '') return;
    conversation.value?.say(name, text);
    write('');
    field.current?.focus();
  };
  const onKeyDown = (event: KeyboardEvent): void => {
    // Enter that ends the composing of a character is not ours.
    if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) say(event);
  };
  return (
    <form class="composer" onSubmit={say}>
      {over > 0 && (
        <p class="notice bad" role="status">
          Too long by {number.format(over)} bytes: a message has room for 64 KiB.
        </p>
      )}
      <textarea
        ref={field}
        rows={1}
        dir="auto"
        aria-label={`Say something in ${name}`}
        placeholder="Say something"
        aria-describedby="enter"
        value={text}
        onInput={(event) => write(event.currentTarget.value)}
        onKeyDown={onKeyDown}
      />
      <button type="submit" class="primary" disabled={over > 0}>
        Say
      </button>
      <p id="enter" class="faint hint">
        <kbd>Enter</kbd> says it, <kbd>Shift</kbd> <kbd>Enter</kbd> begins a new line
      </p>
    </form>
  );
}
