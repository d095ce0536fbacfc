import './cli/main.ts';
import { SetupError } from './core/setup-error.ts';
import './server.ts';
import { withThrowAwayServer } from './throw-away.ts';

// Has Node compile the program when it is installed, and keep that in NODE_COMPILE_CACHE. Else its first start would: it
// takes a third longer, and what strips the types stays loaded, some 20 MiB for as long as the server runs.
try {
  // So that not only what is loaded is compiled, but also what runs when a server starts.
  await withThrowAwayServer(async (app) => app.inject({ url: '/audit', headers: { host: 'localhost' } }));
} catch (error) {
  // An image has no Postgres of its own. What is loaded is compiled all the same, and an installation does not depend on this.
  console.error('Not all is compiled beforehand:', error instanceof SetupError ? error.message : error);
}
