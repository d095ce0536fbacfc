/** LIMIT_FRAME_BYTES, unless the server has another. */
const MAX_FRAME_BYTES = 65_536;
/** As long as the labels of this page can become. */
const LONGEST_REF = 'page-9007199254740991';

/** By how many bytes a message would be too long for a frame; not above 0 when it is not. */
export function bytesOver(room: string, text: string): number {
  // No character takes more than six bytes, as JSON in UTF-8: most texts need not be measured.
  if (6 * (room.length + text.length) + 128 < MAX_FRAME_BYTES) return 0;
  const frame = JSON.stringify({ type: 'message', room, text, ref: LONGEST_REF });
  return new TextEncoder().encode(frame).length - MAX_FRAME_BYTES;
}

/** What is shown of a long text before somebody wants it all. */
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
