import type { Facets } from '../facets/counts.ts';
import { type ChipName, chipNames } from '../filter.ts';

/** From the registry of actions. */
export type ActionInfo = { action: string; description: string };

export type Suggestion = {
  /** What the text becomes. */
  text: string;
  /** Beside it: what it means, or how many there are. */
  hint: string;
  /** A name, to which a value is still to be typed. */
  isOpen: boolean;
};

const meanings: Record<ChipName, string> = {
  action: 'what was done',
  user_id: 'who did it',
  room: 'where',
  involves: 'who did it or had it done to them',
  target_user_id: 'to whom it was done',
  session_id: 'which connection',
  ip: 'the client’s address',
  q: 'a part of the message',
};

const MOST = 12;
const users = new Set<ChipName>(['user_id', 'involves', 'target_user_id']);

/** What may be meant by what was typed so far: names first, then values. */
export function suggestionsOf(typed: string, actions: readonly ActionInfo[], facets: Facets): Suggestion[] {
  const text = typed.trimStart();
  const name = chipNames.find((one) => text.startsWith(`${one}:`));
  if (name !== undefined)
    return valuesFor(
      name,
      text
        .slice(name.length + 1)
        .trim()
        .toLowerCase(),
      actions,
      facets,
    );
  const start = text.toLowerCase();
  const names = chipNames
    .filter((one) => one.startsWith(start))
    .map((one) => ({ text: `${one}:`, hint: meanings[one], isOpen: true }));
  if (text.trim() === '') return names;
  const known = (['user_id', 'room', 'action'] as const).flatMap((one) =>
    valuesFor(one, start, actions, facets).slice(0, 4),
  );
  return [{ text: `q:"${text.trim()}"`, hint: 'in messages', isOpen: false }, ...names, ...known].slice(
    0,
    MOST,
  );
}

function valuesFor(
  name: ChipName,
  start: string,
  actions: readonly ActionInfo[],
  facets: Facets,
): Suggestion[] {
  const counts = users.has(name)
    ? facets.user_id
    : name === 'action' || name === 'room'
      ? facets[name]
      : undefined;
  const counted = (counts?.counts ?? []).map(({ value, count }) => ({
    value,
    hint: users.has(name) && name !== 'user_id' ? '' : `${count.toLocaleString('en')}`,
  }));
  const known = new Set(counted.map(({ value }) => value));
  const others =
    name !== 'action'
      ? []
      : actions
          .filter(({ action }) => !known.has(action))
          .map(({ action, description }) => ({ value: action, hint: description }));
  return [...counted, ...others]
    .filter(({ value }) => value.toLowerCase().includes(start))
    .slice(0, MOST)
    .map(({ value, hint }) => ({ text: `${name}:${value}`, hint, isOpen: false }));
}
