import { CodedError } from '../src/core/errors.ts';

/**
 * Waits for a read of the log, with its failures in words for the outside: no SQL, no host.
 *
 * @throws CodedError `too_slow` when the statement's time was up, else `audit_unavailable`
 */
export async function read<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (cause) {
    if (cause instanceof CodedError) throw cause;
    // 57014: the server ended the statement.
    if ((cause as { code?: string }).code === '57014') {
      throw new CodedError('too_slow', 'This query takes too long; narrow it by time, room or user.', {
        cause,
      });
    }
    throw new CodedError('audit_unavailable', 'The audit log cannot be read now; try again later.', {
      cause,
    });
  }
}
