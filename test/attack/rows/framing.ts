import { closeOf, frameOf, OPCODES } from '../../support/frame-bytes.ts';
import type { SessionRow } from './row.ts';

const { continuation, text, close, ping, pong } = OPCODES;
const broken = { closes: 1002, refused: 'bad_frame' } as const;
const bytes = (count: number, fill = 'x'): string => fill.repeat(count);
const eachByte = (frame: Buffer): Buffer[] => Array.from(frame, (byte) => Buffer.from([byte]));

const masking: SessionRow[] = [
  { clause: '5.1', what: 'an unmasked text frame', send: [frameOf({ mask: null, payload: 'x' })], ...broken },
  { clause: '5.1', what: 'an unmasked empty frame', send: [frameOf({ mask: null })], ...broken },
  { clause: '5.1', what: 'an unmasked ping', send: [frameOf({ opcode: ping, mask: null })], ...broken },
  { clause: '5.1', what: 'an unmasked close', send: [frameOf({ opcode: close, mask: null })], ...broken },
  {
    clause: '5.1',
    what: 'a second fragment without a mask',
    send: [
      frameOf({ fin: false, payload: 'a' }),
      frameOf({ opcode: continuation, mask: null, payload: 'b' }),
    ],
    ...broken,
  },
  {
    clause: '5.3',
    what: 'a mask of zeros',
    send: [frameOf({ mask: Buffer.alloc(4), payload: 'zeros' })],
    says: ['zeros'],
  },
  {
    clause: '5.3',
    what: 'a mask of ones',
    send: [frameOf({ mask: Buffer.alloc(4, 255), payload: 'ones' })],
    says: ['ones'],
  },
  {
    clause: '5.3',
    what: 'another mask for each fragment',
    send: [
      frameOf({ fin: false, mask: Buffer.from([1, 2, 3, 4]), payload: 'one ' }),
      frameOf({ opcode: continuation, mask: Buffer.from([9, 8, 7, 6]), payload: 'two' }),
    ],
    says: ['one two'],
  },
];

const reserved: SessionRow[] = [1, 2, 3, 4, 5, 6, 7].map((rsv) => ({
  clause: '5.2',
  what: `a text frame with the reserved bits ${rsv.toString(2).padStart(3, '0')}`,
  send: [frameOf({ rsv, payload: 'x' })],
  ...broken,
}));

const opcodes: SessionRow[] = [3, 4, 5, 6, 7, 11, 12, 13, 14, 15].map((opcode) => ({
  clause: '5.2',
  what: `the reserved opcode ${opcode}`,
  send: [frameOf({ opcode, payload: 'x' })],
  ...broken,
}));

const control: SessionRow[] = [
  {
    clause: '5.5',
    what: 'a ping of 126 bytes',
    send: [frameOf({ opcode: ping, payload: bytes(126) })],
    ...broken,
  },
  {
    clause: '5.5',
    what: 'a pong of 126 bytes',
    send: [frameOf({ opcode: pong, payload: bytes(126) })],
    ...broken,
  },
  { clause: '5.5', what: 'a close of 126 bytes', send: [closeOf(1000, bytes(124))], ...broken },
  {
    clause: '5.5',
    what: 'a ping with a length of 64 bits',
    send: [frameOf({ opcode: ping, payload: 'x', lengthBits: 64 })],
    ...broken,
  },
  { clause: '5.5', what: 'a ping without FIN', send: [frameOf({ opcode: ping, fin: false })], ...broken },
  { clause: '5.5', what: 'a pong without FIN', send: [frameOf({ opcode: pong, fin: false })], ...broken },
  { clause: '5.5', what: 'a close without FIN', send: [frameOf({ opcode: close, fin: false })], ...broken },
  { clause: '5.5', what: 'a ping with RSV1', send: [frameOf({ opcode: ping, rsv: 4 })], ...broken },
  { clause: '5.5.2', what: 'an empty ping', send: [frameOf({ opcode: ping })], pongs: [Buffer.alloc(0)] },
  {
    clause: '5.5.2',
    what: 'a ping of 125 bytes',
    send: [frameOf({ opcode: ping, payload: bytes(125) })],
    pongs: [Buffer.from(bytes(125))],
  },
  {
    clause: '5.5.2',
    what: 'a ping that is no UTF-8',
    send: [frameOf({ opcode: ping, payload: Buffer.from([0xff, 0, 0xc3]) })],
    pongs: [Buffer.from([0xff, 0, 0xc3])],
  },
  {
    clause: '5.5.2',
    what: 'ten pings in one packet',
    send: [Buffer.concat(Array.from({ length: 10 }, (_, n) => frameOf({ opcode: ping, payload: `${n}` })))],
    pongs: Array.from({ length: 10 }, (_, n) => Buffer.from(`${n}`)),
  },
  {
    clause: '5.5.2',
    what: 'a ping byte by byte',
    send: eachByte(frameOf({ opcode: ping, payload: 'slow' })),
    pongs: [Buffer.from('slow')],
  },
  {
    clause: '5.5.3',
    what: 'a pong that nobody asked for',
    send: [frameOf({ opcode: pong, payload: 'x' }), frameOf('after')],
    says: ['after'],
  },
  {
    clause: '5.4',
    what: 'a ping between fragments',
    send: [
      Buffer.concat([
        frameOf({ fin: false, payload: 'one ' }),
        frameOf({ opcode: ping, payload: 'now' }),
        frameOf({ opcode: continuation, payload: 'two' }),
      ]),
    ],
    pongs: [Buffer.from('now')],
    says: ['one two'],
  },
];

const lengths: SessionRow[] = [
  {
    clause: '5.2',
    what: 'an empty text frame',
    send: [frameOf('')],
    errors: ['invalid_text'],
    refused: 'invalid_text',
  },
  ...[1, 125, 126, 127, 65_535].map((length) => ({
    clause: '5.2',
    what: `a text of ${length} bytes`,
    send: [frameOf(bytes(length))],
    says: [bytes(length)],
  })),
  // 5.2 asks senders for the shortest form; receivers need not mind, and nothing is hidden by it.
  {
    clause: '5.2',
    what: 'a length in more bits than needed: 16',
    send: [frameOf({ payload: 'sixteen', lengthBits: 16 })],
    says: ['sixteen'],
  },
  {
    clause: '5.2',
    what: 'a length in more bits than needed: 64',
    send: [frameOf({ payload: 'sixty-four', lengthBits: 64 })],
    says: ['sixty-four'],
  },
  ...[2n ** 63n, 2n ** 64n - 1n, 2n ** 53n, 2n ** 32n, 70_000n].map((length) => ({
    clause: '5.2, 7.4.1',
    what: `a length of ${length}, by the header alone`,
    send: [frameOf({ length, lengthBits: 64 })],
    closes: 1009,
    refused: 'too_large' as const,
  })),
];

const delivery: SessionRow[] = [
  {
    clause: '5.2',
    what: 'a text frame byte by byte',
    send: eachByte(frameOf('byte by byte')),
    says: ['byte by byte'],
  },
  {
    clause: '5.2',
    what: 'a text of 126 bytes byte by byte',
    send: eachByte(frameOf(bytes(126))),
    says: [bytes(126)],
  },
  {
    clause: '5.2',
    what: '200 frames in one packet',
    send: [Buffer.concat(Array.from({ length: 200 }, (_, n) => frameOf(`${n}`)))],
    says: Array.from({ length: 200 }, (_, n) => `${n}`),
  },
  {
    clause: '5.2',
    what: 'a good frame and a broken one in one packet',
    send: [Buffer.concat([frameOf('good'), frameOf({ rsv: 1, payload: 'broken' }), frameOf('never read')])],
    says: ['good'],
    ...broken,
  },
  {
    clause: '5.2',
    what: 'a frame cut in its header',
    send: [frameOf(bytes(300)).subarray(0, 3), frameOf(bytes(300)).subarray(3)],
    says: [bytes(300)],
  },
  {
    clause: '7.1.5',
    what: 'half a frame, and the end of the connection',
    send: [frameOf('half').subarray(0, 7)],
    recorded: 1006,
  },
  {
    clause: '5.7',
    what: 'HTTP where frames should be',
    send: [Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n')],
    ...broken,
  },
  {
    clause: '5.7',
    what: 'a TLS hello where frames should be',
    send: [Buffer.from('16030100c8010000c4', 'hex')],
    ...broken,
  },
  {
    clause: '5.6',
    what: 'a NUL byte as text',
    send: [frameOf({ opcode: text, payload: Buffer.from([0]) })],
    errors: ['invalid_text'],
    refused: 'invalid_text',
  },
];

export const framing: SessionRow[] = [
  ...masking,
  ...reserved,
  ...opcodes,
  ...control,
  ...lengths,
  ...delivery,
];
