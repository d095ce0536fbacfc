import { test } from 'tap';
import { PAGE_POLICY } from '../../src/core/security-headers.ts';
import { build } from '../support/app.ts';

test('the pages are served with a strict policy, and are never kept', async (t) => {
  const { url } = await build(t);
  for (const path of ['/', '/console']) {
    const answer = await fetch(url + path);
    const html = await answer.text();
    t.equal(answer.status, 200, path);
    t.equal(answer.headers.get('content-type'), 'text/html; charset=utf-8');
    t.equal(answer.headers.get('content-security-policy'), PAGE_POLICY);
    t.equal(answer.headers.get('cache-control'), 'no-store');
    t.match(html, /data-sign-in="token"/, 'with a key, a token is needed');
    t.notMatch(html, /<script(?![^>]* src=)|<style|style="|\son\w+=/, 'nothing is inline');
    for (const [, asset = ''] of html.matchAll(/(?:src|href)="\.(\/assets\/[^"]+)"/g)) {
      const file = await fetch(url + asset, { headers: { 'accept-encoding': 'br' } });
      t.equal(file.status, 200, asset);
      t.equal(file.headers.get('content-encoding'), 'br');
      t.match(file.headers.get('cache-control'), /immutable/);
      t.ok((await file.text()).length > 0);
    }
  }
  t.equal((await fetch(`${url}/favicon.ico`)).status, 200);
});

test('in development mode the chat page asks for a name', async (t) => {
  const { url } = await build(t, { JWT_SECRET: '' });
  t.match(await (await fetch(`${url}/`)).text(), /data-sign-in="name"/);
});

test('nothing else of the folder is served, and there are no parameters', async (t) => {
  const { url } = await build(t);
  for (const path of [
    '/assets/',
    '/assets/nothing.js',
    '/index.html',
    '/assets/%2e%2e/index.html',
    '/assets/..%2findex.html',
  ]) {
    const answer = await fetch(url + path);
    t.equal(answer.status, 404, path);
    t.equal(answer.headers.get('content-type'), 'application/problem+json; charset=utf-8', path);
  }
  t.equal((await fetch(`${url}/console?user_id=alice`)).status, 400);
});
