/** What is shown of a long text before somebody wants it all, in UTF-16 units. */
const SHOWN_LENGTH = 1_200;
const SHOWN_LINES = 16;

/** The beginning of a text, where it is too long to be shown whole. */
export function beginningOf(text: string): string | undefined {
  let end = SHOWN_LENGTH;
  let at = -1;
  for (let line = 0; line < SHOWN_LINES; line += 1) {
    at = text.indexOf('\n', at + 1);
    if (at === -1) break;
  }
  if (at !== -1) end = Math.min(end, at);
  if (text.length <= end) return undefined;
  // Not through the middle of a character.
  return text
    .slice(0, end)
    .toWellFormed()
    .replace(/\ufffd$/, '');
}
