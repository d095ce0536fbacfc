import { ConnectionError, ProblemError } from '../../common/api.ts';

/** What went wrong, as people are told. */
export type Trouble = { title: string; detail: string; canRetry: boolean; retryAfter: number | undefined };

/** Words for why there is no answer; what an answer would need is said with it. */
export function troubleOf(error: Error): Trouble {
  const { message: detail } = error;
  if (error instanceof ConnectionError) {
    return {
      title: 'No connection',
      detail: 'The server cannot be reached. It is tried again as soon as the network is back.',
      canRetry: true,
      retryAfter: 5,
    };
  }
  if (!(error instanceof ProblemError)) {
    return { title: 'Something went wrong in this page', detail, canRetry: true, retryAfter: undefined };
  }
  const retry = { canRetry: true, retryAfter: error.retryAfter };
  if (error.code === 'too_slow') {
    return {
      title: 'This takes too long to find',
      detail: `${detail} A shorter time helps.`,
      canRetry: true,
      retryAfter: undefined,
    };
  }
  if (error.status === 429) return { title: 'Too many questions at once', detail, ...retry };
  if (error.status === 503) {
    return {
      title: 'The log cannot be written',
      detail: `${detail} Reading the log is put on record too, so nothing can be read until it can be written again.`,
      canRetry: true,
      retryAfter: error.retryAfter ?? 5,
    };
  }
  if (error.status === 403) return { title: 'Not allowed', detail, canRetry: false, retryAfter: undefined };
  if (error.status === 410) return { title: 'No longer kept', detail, ...retry };
  return {
    title: 'The server refused',
    detail,
    canRetry: error.status !== 400,
    retryAfter: error.retryAfter,
  };
}
