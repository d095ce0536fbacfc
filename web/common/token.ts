import { signal } from '@preact/signals';

/** What a token says of its bearer. The server alone can tell whether it is true. */
export type Identity = {
  token: string;
  userId: string;
  scopes: ReadonlySet<string>;
  /** The rooms that the token limits its bearer to; undefined: all. */
  rooms: readonly string[] | undefined;
  /** When it expires, in milliseconds since 1970. */
  expiresAt: number;
};

// Of the tab: gone when it is closed, and no other tab sees it.
const KEY = 'minutebook.token';

/** Who is signed in; undefined: nobody. */
export const identity = signal<Identity | undefined>(undefined);

/** The payload of a JWT (RFC 7519 7.2), unverified. */
function payloadOf(token: string): Record<string, unknown> {
  const [, payload = ''] = token.split('.');
  const bytes = Uint8Array.from(atob(payload.replaceAll('-', '+').replaceAll('_', '/')), (char) =>
    char.charCodeAt(0),
  );
  return JSON.parse(new TextDecoder().decode(bytes)) as Record<string, unknown>;
}

/** @returns undefined when the text is no token that names a user and an end */
export function readToken(text: string): Identity | undefined {
  const token = text.trim().replace(/^Bearer\s+/i, '');
  try {
    const { sub, scope, exp, rooms } = payloadOf(token);
    if (typeof sub !== 'string' || typeof exp !== 'number') return undefined;
    const scopes = typeof scope === 'string' ? scope.split(' ').filter((word) => word !== '') : [];
    const limited = Array.isArray(rooms) ? rooms.filter((room) => typeof room === 'string') : undefined;
    return { token, userId: sub, scopes: new Set(scopes), rooms: limited, expiresAt: exp * 1_000 };
  } catch {
    return undefined;
  }
}

/** Keeps a token for this tab. @returns whether it was one */
export function signIn(text: string): boolean {
  const read = readToken(text);
  if (read === undefined) return false;
  sessionStorage.setItem(KEY, read.token);
  identity.value = read;
  return true;
}

export function signOut(): void {
  sessionStorage.removeItem(KEY);
  identity.value = undefined;
}

/**
 * Takes the token out of the address's fragment, where it came with a link, so that it stays neither in the address
 * bar nor in the history; else what the tab has kept.
 */
export function takeToken(): void {
  const fragment = new URLSearchParams(location.hash.slice(1));
  const given = fragment.get('token');
  if (given !== null) {
    fragment.delete('token');
    const rest = fragment.toString();
    history.replaceState(history.state, '', location.pathname + location.search + (rest && `#${rest}`));
  }
  const text = given ?? sessionStorage.getItem(KEY);
  if (text !== null && !signIn(text)) signOut();
}
