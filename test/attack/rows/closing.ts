import { closeOf, frameOf, OPCODES } from '../../support/frame-bytes.ts';
import type { SessionRow } from './row.ts';

const { close } = OPCODES;
const broken = { closes: 1002, refused: 'bad_frame' } as const;

const good: SessionRow[] = [
  1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4401, 4999,
].map((code) => ({
  clause: '7.4',
  what: `the close code ${code}`,
  send: [closeOf(code, 'bye')],
  closes: code,
}));

const bad: SessionRow[] = [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535].map(
  (code) => ({
    clause: '7.4',
    what: `the close code ${code}, which may not be sent`,
    send: [closeOf(code)],
    ...broken,
  }),
);

const other: SessionRow[] = [
  // 1005 stands for a close frame without a code.
  { clause: '5.5.1', what: 'a close without a code', send: [frameOf({ opcode: close })], closes: 1005 },
  {
    clause: '5.5.1',
    what: 'a close of one byte',
    send: [frameOf({ opcode: close, payload: 'x' })],
    ...broken,
  },
  {
    clause: '5.5.1',
    what: 'a close with the longest reason',
    send: [closeOf(1000, 'x'.repeat(123))],
    closes: 1000,
  },
  {
    clause: '5.5.1',
    what: 'a close with a reason in UTF-8',
    send: [closeOf(4000, 'grüße 😀')],
    closes: 4000,
  },
  { clause: '5.5.1', what: 'a close with a reason that is NUL', send: [closeOf(1000, '\0')], closes: 1000 },
  {
    clause: '8.1',
    what: 'a close with a reason that is no UTF-8',
    send: [closeOf(1000, Buffer.from([0xc3, 0x28]))],
    closes: 1007,
    refused: 'bad_frame',
  },
  {
    clause: '5.5.1',
    what: 'a message after the close',
    send: [closeOf(1000), frameOf('too late')],
    closes: 1000,
  },
  {
    clause: '5.5.1',
    what: 'a message after the close, in its packet',
    send: [Buffer.concat([closeOf(1000), frameOf('too late')])],
    closes: 1000,
  },
  {
    clause: '5.5.1',
    what: 'a message before the close, in its packet',
    send: [Buffer.concat([frameOf('in time'), closeOf(1000)])],
    closes: 1000,
    says: ['in time'],
  },
  {
    clause: '5.5.1',
    what: 'two closes',
    send: [Buffer.concat([closeOf(1000), closeOf(1001)])],
    closes: 1000,
  },
  {
    clause: '5.5.1',
    what: 'a broken frame after the close',
    send: [Buffer.concat([closeOf(1000), Buffer.alloc(64, 0xff)])],
    closes: 1000,
  },
  {
    clause: '5.4',
    what: 'a close between fragments',
    send: [frameOf({ fin: false, payload: 'half' }), closeOf(1001)],
    closes: 1001,
  },
  {
    clause: '7.1.1',
    what: 'a close byte by byte',
    send: Array.from(closeOf(1000, 'slow'), (byte) => Buffer.from([byte])),
    closes: 1000,
  },
];

export const closing: SessionRow[] = [...good, ...bad, ...other];
