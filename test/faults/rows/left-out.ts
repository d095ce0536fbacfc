/** What the matrix of faults also knows, and is not tried. */
export const leftOut: readonly { id: string; title: string; why: string }[] = [
  {
    id: '33',
    title: 'a slow reader of the live stream',
    why: 'Tried in test/routes/audit-stream-ends.test.ts.',
  },
  {
    id: '36, in part',
    title: 'a rolling deployment of two versions',
    why: 'There is one version so far; row 36 does it with that.',
  },
  { id: '41', title: 'retention under load', why: 'There is no retention yet.' },
  {
    id: '42',
    title: 'somebody changes the log while it runs',
    why: 'There is nothing yet by which it could be noticed. That the server’s role cannot do it is tested elsewhere.',
  },
  {
    id: '–',
    title: 'the power fails',
    why: 'This needs a device that forgets what was not flushed. Rows 10b, 22 and 24 lose processes, not caches; what replaces it is the proof by system calls, above.',
  },
];
