/**
 * Who and what a seeded log holds that a reader of it may stumble over: the values that the bench asks for by name.
 * All others are made by number.
 */
export const users = {
  /** A third of all events, all but their first of each session in one room. */
  third: 'newsbot',
  /** One event in twenty: comes, goes, looks into rooms, and never says a word. */
  silent: 'lurker',
  /** Whom administrators are busy with. */
  target: 'mallory',
  /** A few dozen events, all of them long ago. */
  rare: 'hermit',
  /** One event, long ago. */
  single: 'passer-by',
  never: 'nobody',
  admin: 'warden',
  auditor: 'auditor-1',
} as const;

export const rooms = {
  common: 'lobby',
  /** Where the third of all events is; whose author was never in the lobby. */
  third: 'news',
  /** Where the rare user was. */
  rare: 'attic',
  /** One event. */
  single: 'closet',
  never: 'nowhere',
} as const;

export const addresses = {
  /** Of every fifth user: an office behind one address. */
  common: '203.0.113.7',
  rare: '198.51.100.23',
  single: '2001:db8::77',
  never: '192.0.2.1',
} as const;

/** Parts of messages, for `q`. */
export const needles = {
  common: 'the',
  /** Not written in the Latin alphabet, and without blanks. */
  thai: 'ขอบคุณ',
  rare: 'heliotrope',
  single: 'quetzal',
  never: 'xylograph',
} as const;

/** Those of `users` that are in the chat, in the order of their numbers; ordinary users come after them. */
export const players = [users.third, users.silent, users.target, users.rare] as const;
