import { closeOf, fragmentsOf, frameOf, OPCODES } from '../../support/frame-bytes.ts';
import type { SessionRow } from './row.ts';

const { continuation, binary } = OPCODES;
const broken = { closes: 1002, refused: 'bad_frame' } as const;
const bytes = (count: number, fill = 'x'): string => fill.repeat(count);

/** Messages in several frames, and messages that are no text. */
export const fragments: SessionRow[] = [
  {
    clause: '5.4',
    what: 'a continuation of nothing',
    send: [frameOf({ opcode: continuation, payload: 'x' })],
    ...broken,
  },
  {
    clause: '5.4',
    what: 'a continuation of nothing without FIN',
    send: [frameOf({ opcode: continuation, fin: false })],
    ...broken,
  },
  {
    clause: '5.4',
    what: 'a continuation after a whole message',
    send: [frameOf('whole'), frameOf({ opcode: continuation })],
    says: ['whole'],
    ...broken,
  },
  {
    clause: '5.4',
    what: 'a text frame within a text message',
    send: [frameOf({ fin: false, payload: 'a' }), frameOf('b')],
    ...broken,
  },
  {
    clause: '5.4',
    what: 'a binary frame within a text message',
    send: [frameOf({ fin: false }), frameOf({ opcode: binary })],
    ...broken,
  },
  {
    clause: '5.4',
    what: 'a continuation with RSV1',
    send: [frameOf({ fin: false }), frameOf({ opcode: continuation, rsv: 4 })],
    ...broken,
  },
  { clause: '5.4', what: 'three fragments in one packet', send: [fragmentsOf('a', 'b', 'c')], says: ['abc'] },
  {
    clause: '5.4',
    what: 'fragments of which the first and last are empty',
    send: [fragmentsOf('', 'mid', '')],
    says: ['mid'],
  },
  {
    clause: '5.4',
    what: 'fragments that are all empty',
    send: [fragmentsOf('', '', '')],
    errors: ['invalid_text'],
    refused: 'invalid_text',
  },
  { clause: '5.4', what: '64 fragments', send: [fragmentsOf(...bytes(64).split(''))], says: [bytes(64)] },
  {
    clause: '5.4',
    what: '65 fragments',
    send: [fragmentsOf(...bytes(65).split(''))],
    closes: 1008,
    refused: 'bad_frame',
  },
  {
    clause: '5.4',
    what: '16,000 fragments of one byte',
    send: [fragmentsOf(...bytes(16_000).split(''))],
    closes: 1008,
    refused: 'bad_frame',
  },
  {
    clause: '5.4',
    what: '65 empty fragments without an end',
    send: [
      Buffer.concat([
        frameOf({ fin: false }),
        ...Array.from({ length: 64 }, () => frameOf({ fin: false, opcode: continuation })),
      ]),
    ],
    closes: 1008,
    refused: 'bad_frame',
  },
  {
    clause: '5.4',
    what: '40 fragments, twice: each message is counted by itself',
    send: [fragmentsOf(...bytes(40, 'a').split('')), fragmentsOf(...bytes(40, 'b').split(''))],
    says: [bytes(40, 'a'), bytes(40, 'b')],
  },
  {
    clause: '5.4',
    what: 'fragments that stay without an end, and a close',
    send: [frameOf({ fin: false, payload: 'half' }), closeOf(1000)],
    closes: 1000,
  },
  {
    clause: '5.6',
    what: 'a binary frame',
    send: [frameOf({ opcode: binary, payload: 'x' })],
    closes: 1003,
    refused: 'bad_frame',
  },
  {
    clause: '5.6',
    what: 'an empty binary frame',
    send: [frameOf({ opcode: binary })],
    closes: 1003,
    refused: 'bad_frame',
  },
  {
    clause: '5.6',
    what: 'a binary message in fragments',
    send: [
      frameOf({ opcode: binary, fin: false, payload: 'a' }),
      frameOf({ opcode: continuation, payload: 'b' }),
    ],
    closes: 1003,
    refused: 'bad_frame',
  },
];
