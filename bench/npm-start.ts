import { join } from 'node:path';
import packageJson from '../package.json' with { type: 'json' };
import { ROOT } from './processes.ts';

/**
 * How `npm start` starts the server, so that what is measured is what people run.
 *
 * @throws Error when the script is not as expected
 */
function read(script: string): { args: string[]; env: Record<string, string> } {
  const [, settings, options] = /^((?:\w+=\S+ )*)exec node ((?:--\S+ )*)src\/server\.ts$/.exec(script) ?? [];
  if (settings === undefined || options === undefined)
    throw new Error(`npm start is not understood: ${script}`);
  const words = (text: string): string[] => text.split(' ').filter((word) => word !== '');
  const { NODE_COMPILE_CACHE = '', ...env }: Record<string, string> = Object.fromEntries(
    words(settings).map((setting) => setting.split('=')),
  );
  return {
    args: [...words(options), join(ROOT, 'src/server.ts')],
    // It is started in another folder.
    env: { ...env, NODE_COMPILE_CACHE: join(ROOT, NODE_COMPILE_CACHE) },
  };
}

/** The arguments of node, and what is set in its environment. */
export const npmStart = read(packageJson.scripts.start);
