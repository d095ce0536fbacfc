/** Checks on text that must come back from the database exactly as it went in. */

/** The longest room or user name, in bytes of UTF-8. */
export const MAX_NAME_BYTES = 128;

// C0 controls, DEL and C1 controls: a name is shown in logs, terminals and tables.
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it looks for
const CONTROL = /[\u0000-\u001f\u007f-\u009f]/;

/** Length in bytes of UTF-8. */
export const byteLength = (text: string): number => Buffer.byteLength(text, 'utf8');

/**
 * Whether Postgres stores this text unchanged. It refuses NUL (SQLSTATE 22021), and a lone surrogate would
 * become U+FFFD on its way through UTF-8, so that what is stored were not what was said.
 */
export const isStorable = (text: string): boolean => !text.includes('\0') && text.isWellFormed();

/** Whether this is a room or user name: 1 to 128 bytes of UTF-8 without control characters. */
export const isName = (text: string): boolean =>
  text.length > 0 && text.isWellFormed() && !CONTROL.test(text) && byteLength(text) <= MAX_NAME_BYTES;
