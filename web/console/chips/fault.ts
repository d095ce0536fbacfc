import { ProblemError } from '../../common/api.ts';
import { problem } from '../log.ts';

/** Why the API refused a parameter; undefined: it did not. */
export function faultOf(name: string): string | undefined {
  const error = problem.value;
  return error instanceof ProblemError && error.parameter === name ? error.message : undefined;
}
