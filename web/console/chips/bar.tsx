import { useId, useRef, useState } from 'preact/hooks';
import { Icon } from '../../common/icons.tsx';
import { Text } from '../../common/text.tsx';
import { type Chip, chipsOf, chipText, readChip, withoutValue, withValue } from '../filter.ts';
import { actions, facets } from '../log.ts';
import { change, view } from '../view.ts';
import './bar.css';
import { faultOf } from './fault.ts';
import { type Suggestion, suggestionsOf } from './suggest.ts';
import { TimeChip } from './time-chip.tsx';

/** The filter, chip by chip, and a field that takes the next one: a combobox with a list (WAI-ARIA APG). */
export function FilterBar() {
  const [text, setText] = useState('');
  const [isOpen, setOpen] = useState(false);
  const [chosen, setChosen] = useState(-1);
  const input = useRef<HTMLInputElement>(null);
  const listId = useId();
  const { filter } = view.value;
  const chips = chipsOf(filter);
  const suggestions = isOpen ? suggestionsOf(text, actions.value, facets.value) : [];
  const isShown = suggestions.length > 0;
  const fault = [...chips.map(({ name }) => faultOf(name))].find((one) => one !== undefined);

  function type(next: string) {
    setText(next);
    setOpen(true);
    setChosen(-1);
  }
  function commit(chip: Chip | undefined) {
    if (chip === undefined) return;
    setText('');
    setChosen(-1);
    setOpen(false);
    change({ filter: withValue(filter, chip.name, chip.value) });
  }
  function take({ text: taken, isOpen: goesOn }: Suggestion) {
    if (goesOn) type(taken);
    else commit(readChip(taken));
    input.current?.focus();
  }
  function edit({ name, value }: Chip) {
    change({ filter: withoutValue(filter, name, value) }, 'replace');
    type(chipText({ name, value }));
    input.current?.focus();
  }
  function onKeyDown(event: KeyboardEvent) {
    const { key } = event;
    const last = chips.at(-1);
    const current = suggestions[chosen];
    if (key === 'ArrowDown' || key === 'ArrowUp') {
      event.preventDefault();
      if (!isOpen) return setOpen(true);
      const by = key === 'ArrowDown' ? 1 : -1;
      // One place more than there are suggestions: none is chosen.
      const places = suggestions.length + 1;
      setChosen(((chosen + 1 + by + places) % places) - 1);
    } else if (key === 'Enter') {
      event.preventDefault();
      if (current !== undefined) take(current);
      else commit(readChip(text));
    } else if (key === 'Tab' && current !== undefined) {
      event.preventDefault();
      take(current);
    } else if (key === 'Escape' && isShown) {
      event.preventDefault();
      event.stopPropagation();
      setOpen(false);
      setChosen(-1);
    } else if (key === 'Escape') {
      event.stopPropagation();
      if (text === '') input.current?.blur();
      else setText('');
    } else if (key === 'Backspace' && text === '' && last !== undefined) {
      event.preventDefault();
      edit(last);
    }
  }

  return (
    <search class="filter-bar">
      <TimeChip />
      {chips.map((chip) => (
        <span key={chipText(chip)} class={faultOf(chip.name) === undefined ? 'chip' : 'chip faulty'}>
          <button type="button" class="quiet" title="Edit" onClick={() => edit(chip)}>
            <span class="name">{chip.name}:</span>
            <Text of={chip.name === 'q' ? `"${chip.value}"` : chip.value} class="clip" />
          </button>
          <button
            type="button"
            class="quiet square"
            aria-label={`Drop ${chipText(chip)}`}
            onClick={() => change({ filter: withoutValue(filter, chip.name, chip.value) })}
          >
            <Icon name="close" />
          </button>
        </span>
      ))}
      <div class="entry">
        <input
          ref={input}
          id="filter"
          type="text"
          role="combobox"
          aria-label="Filter by name:value, or look for words in messages"
          aria-autocomplete="list"
          aria-expanded={isShown}
          aria-controls={listId}
          aria-activedescendant={chosen >= 0 && isShown ? `${listId}-${chosen}` : undefined}
          placeholder={chips.length === 0 ? 'user_id:ann, room:lobby, or words of a message' : 'and …'}
          autocomplete="off"
          autocapitalize="off"
          spellcheck={false}
          value={text}
          onInput={({ currentTarget }) => type(currentTarget.value)}
          onFocus={() => setOpen(true)}
          onBlur={() => setOpen(false)}
          onKeyDown={onKeyDown}
        />
        <span class="key mono" aria-hidden="true">
          /
        </span>
        <div id={listId} role="listbox" aria-label="Suggestions" class="suggestions" hidden={!isShown}>
          {suggestions.map((one, index) => (
            // biome-ignore lint/a11y/useFocusableInteractive: the focus stays in the field, as a combobox has it
            // biome-ignore lint/a11y/useKeyWithClickEvents: the field has the keys
            <div
              key={one.text}
              id={`${listId}-${index}`}
              role="option"
              aria-selected={index === chosen}
              onPointerDown={(event) => event.preventDefault()}
              onClick={() => take(one)}
            >
              <Text of={one.text} class="clip" />
              <span class="faint clip">{one.hint}</span>
            </div>
          ))}
        </div>
      </div>
      {fault !== undefined && (
        <p class="fault" role="alert">
          {fault}
        </p>
      )}
    </search>
  );
}
