import './cli/main.ts';
import { SetupError } from './core/setup-error.ts';
import './server.ts';
import { withThrowAway } from './throw-away.ts';

// Has Node compile the program when it is installed, and keep that in NODE_COMPILE_CACHE. Else its first start would: it
// takes twice as long, and what strips the types stays loaded, some 20 MiB for as long as the server runs.
try {
  // So that not only what is loaded is compiled, but also what runs when a server starts.
  await withThrowAway(async (app) => app.inject({ url: '/audit', headers: { host: 'localhost' } }));
} catch (error) {
  if (!(error instanceof SetupError)) throw error;
  // An image has no Postgres of its own. What is loaded is compiled.
  console.error(`Not all is compiled beforehand: ${error.message}`);
}
