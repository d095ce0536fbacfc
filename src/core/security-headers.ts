const YEAR_S = 365 * 24 * 60 * 60;

/** A policy (CSP Level 3) as the value of its header; an empty list allows nothing. */
const policy = (sources: Record<string, string[]>): string =>
  Object.entries(sources)
    .map(([directive, allowed]) => `${directive} ${allowed.join(' ') || "'none'"}`)
    .join('; ');

/** What no page of ours may do. `default-src` does not stand in for these. */
const NOTHING = { 'default-src': [], 'base-uri': [], 'form-action': [], 'frame-ancestors': [] };

/** The one style that Swagger UI puts into its page: the colours of a picture. By its hash, which is of this text alone. */
const LOGO_STYLE = "'sha256-RL3ie0nH+Lzz2YNqQN83mnU0J1ot4QL7b99vMdIX99w='";

/** The policy of Swagger UI: files of this server, and the pictures that its style sheet carries within itself. */
export const DOCS_POLICY = policy({
  ...NOTHING,
  'script-src': ["'self'"],
  'style-src': ["'self'", LOGO_STYLE],
  'img-src': ["'self'", 'data:'],
  'connect-src': ["'self'"],
});

/** The policy of our own pages: files of this server, and its API. */
export const PAGE_POLICY = policy({
  ...NOTHING,
  'script-src': ["'self'"],
  'style-src': ["'self'"],
  'img-src': ["'self'"],
  'connect-src': ["'self'"],
  // No text becomes markup or script, whatever a library would do with it.
  'require-trusted-types-for': ["'script'"],
  'trusted-types': [],
});

/** Whoever opens an answer as a page gets one that may do nothing; a real page brings a policy of its own. */
const plain = {
  'content-security-policy': policy(NOTHING),
  'x-content-type-options': 'nosniff',
  // frame-ancestors, for those who do not know it.
  'x-frame-options': 'DENY',
  'referrer-policy': 'no-referrer',
  // No page of another origin may have it as a picture or a script; CORS is asked in other ways.
  'cross-origin-resource-policy': 'same-origin',
  'cross-origin-opener-policy': 'same-origin',
} as const;

// RFC 6797 7.2: never over a connection that is not secure.
const secure = { ...plain, 'strict-transport-security': `max-age=${YEAR_S}; includeSubDomains` } as const;

/** The headers of every answer, whatever it is. */
export const securityHeaders = (isSecure: boolean): Readonly<Record<string, string>> =>
  isSecure ? secure : plain;
