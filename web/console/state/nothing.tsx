import { Text } from '../../common/text.tsx';
import { chipsOf, chipText, withoutValue, withValues } from '../filter.ts';
import { change, view } from '../view.ts';

/** Nothing matches: what could be dropped. Or nothing is there at all. */
export function Nothing() {
  const { filter, live } = view.value;
  const chips = chipsOf(filter);
  const hasInterval = filter.from !== undefined || filter.to !== undefined;
  if (chips.length === 0 && !hasInterval) {
    return (
      <div class="nothing">
        <h2>Nothing is on record yet</h2>
        <p>Whatever is said and done in the chat will stand here, newest first.</p>
        <p>
          <a class="button" href="./">
            Open the chat
          </a>
        </p>
      </div>
    );
  }
  return (
    <div class="nothing">
      <h2>No event matches</h2>
      <p>{live ? 'What comes and matches will appear here. ' : ''}Drop one of these to see more:</p>
      <div class="row">
        {hasInterval && (
          <button
            type="button"
            onClick={() => change({ filter: withValues(withValues(filter, 'from', []), 'to', []) })}
          >
            the time
          </button>
        )}
        {chips.map((chip) => (
          <button
            key={chipText(chip)}
            type="button"
            onClick={() => change({ filter: withoutValue(filter, chip.name, chip.value) })}
          >
            <Text of={chipText(chip)} class="clip" />
          </button>
        ))}
        {chips.length > 1 && (
          <button type="button" class="quiet" onClick={() => change({ filter: {} })}>
            all of them
          </button>
        )}
      </div>
    </div>
  );
}
