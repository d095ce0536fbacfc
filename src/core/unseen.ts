/**
 * What is obeyed or hidden rather than shown, by terminals and by pages: controls, marks that turn the direction of
 * writing, separators of lines, and what has no width.
 */
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it looks for
export const UNSEEN = /[\u0000-\u001f\u007f-\u009f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;
