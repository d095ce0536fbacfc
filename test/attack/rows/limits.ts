import { fragmentsOf, frameOf, OPCODES } from '../../support/frame-bytes.ts';
import type { SessionRow } from './row.ts';

/** LIMIT_FRAME_BYTES as it is when nobody sets it. */
const LIMIT = 65_536;
const text = (bytes: number): string => 'x'.repeat(bytes);
/** What a message of JSON has around its text. */
const AROUND = '{"type":"message","text":""}'.length;
const tooLarge = { closes: 1009, refused: 'too_large' } as const;

export const limits: SessionRow[] = [
  {
    clause: '10.4',
    what: 'a frame as long as is allowed',
    send: [frameOf(text(LIMIT))],
    says: [text(LIMIT)],
  },
  { clause: '10.4', what: 'a frame one byte longer', send: [frameOf(text(LIMIT + 1))], ...tooLarge },
  {
    clause: '10.4',
    what: 'a frame one byte longer, by its header alone',
    send: [frameOf({ length: BigInt(LIMIT + 1), lengthBits: 64 })],
    ...tooLarge,
  },
  {
    clause: '10.4',
    what: 'fragments that are as long together as is allowed',
    send: [fragmentsOf(text(LIMIT / 2), text(LIMIT / 2))],
    says: [text(LIMIT)],
  },
  {
    clause: '10.4',
    what: 'fragments that are one byte longer together',
    send: [fragmentsOf(text(LIMIT), 'x')],
    ...tooLarge,
  },
  {
    clause: '10.4',
    what: 'fragments that would be longer, by the header of the last',
    send: [
      frameOf({ fin: false, payload: text(LIMIT) }),
      frameOf({ opcode: OPCODES.continuation, length: 1n }),
    ],
    ...tooLarge,
  },
  {
    clause: '10.4',
    what: 'a binary frame that is too long',
    send: [frameOf({ opcode: OPCODES.binary, payload: text(LIMIT + 1) })],
    ...tooLarge,
  },
  {
    clause: '10.4',
    what: 'a message of JSON as long as is allowed',
    send: [frameOf(`{"type":"message","text":"${text(LIMIT - AROUND)}"}`)],
    says: [text(LIMIT - AROUND)],
  },
  {
    clause: '10.4',
    what: 'a long frame of characters of four bytes',
    send: [frameOf('😀'.repeat(LIMIT / 4))],
    says: ['😀'.repeat(LIMIT / 4)],
  },
];
