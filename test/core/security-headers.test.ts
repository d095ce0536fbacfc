import { test } from 'tap';
import { DOCS_POLICY, securityHeaders } from '../../src/core/security-headers.ts';

test('an answer that is opened as a page may do nothing', async (t) => {
  t.equal(
    securityHeaders(false)['content-security-policy'],
    "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  );
});

test('HSTS is for secure connections alone, and for a year', async (t) => {
  t.equal(securityHeaders(false)['strict-transport-security'], undefined);
  const { 'strict-transport-security': hsts, ...rest } = securityHeaders(true);
  t.equal(hsts, 'max-age=31536000; includeSubDomains');
  t.strictSame(rest, securityHeaders(false));
});

test('the documentation runs files of this server, and nothing that stands in a page', async (t) => {
  t.notMatch(DOCS_POLICY, /unsafe|https?:|\*/);
  t.match(DOCS_POLICY, "script-src 'self';");
  t.match(DOCS_POLICY, "frame-ancestors 'none'");
});
