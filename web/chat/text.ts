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
