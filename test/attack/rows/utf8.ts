import { fragmentsOf, frameOf } from '../../support/frame-bytes.ts';
import type { SessionRow } from './row.ts';

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex');

/** The first and the last code point of each length in bytes, and those beside the surrogates (RFC 3629 4). */
const good: SessionRow[] = [
  '01',
  '7f',
  'c2 80',
  'df bf',
  'e0 a0 80',
  'ed 9f bf',
  'ee 80 80',
  'ef bf bd',
  'ef bf bf',
]
  .concat('f0 90 80 80', 'f4 8f bf bf', 'ef bb bf 61', 'ce ba e1 bd b9 cf 83 ce bc ce b5')
  .map((bytes) => ({
    clause: '8.1',
    what: `text that is UTF-8: ${bytes}`,
    send: [frameOf({ payload: hex(bytes) })],
    says: [hex(bytes).toString()],
  }));

const bad: SessionRow[] = Object.entries({
  'a lone continuation byte': '80',
  'the last continuation byte': 'bf',
  'a continuation byte after a character': 'c3 a9 a9',
  'two bytes cut off': 'c2',
  'three bytes cut off': 'e2 82',
  'four bytes cut off': 'f0 9f 98',
  'two bytes with the wrong second': 'c3 28',
  'three bytes with the wrong second': 'e2 28 a1',
  'NUL in two bytes': 'c0 80',
  'a slash in two bytes': 'c0 af',
  'DEL in two bytes': 'c1 bf',
  'a slash in three bytes': 'e0 80 af',
  'the last overlong of three bytes': 'e0 9f bf',
  'a slash in four bytes': 'f0 80 80 af',
  'the last overlong of four bytes': 'f0 8f bf bf',
  'the first surrogate': 'ed a0 80',
  'the last surrogate': 'ed bf bf',
  'a pair of surrogates': 'ed a0 bd ed b8 80',
  'beyond U+10FFFF': 'f4 90 80 80',
  'a lead byte beyond all': 'f5 80 80 80',
  'five bytes': 'f8 88 80 80 80',
  'six bytes': 'fc 84 80 80 80 80',
  'the byte fe': 'fe',
  'the byte ff': 'ff',
  'good text with a bad end': '68 65 6c 6c 6f ff',
}).map(([what, bytes]) => ({
  clause: '8.1',
  what: `text that is no UTF-8: ${what}`,
  send: [frameOf({ payload: hex(bytes) })],
  closes: 1007,
  refused: 'bad_frame',
}));

const inFragments: SessionRow[] = [
  ...[1, 2, 3].map((at) => ({
    clause: '5.6',
    what: `an emoji cut between fragments after ${at} bytes`,
    send: [fragmentsOf(hex('f09f9880').subarray(0, at), hex('f09f9880').subarray(at))],
    says: ['😀'],
  })),
  {
    clause: '5.6',
    what: 'an emoji with a byte in each fragment',
    send: [fragmentsOf(hex('f0'), hex('9f'), hex('98'), hex('80'))],
    says: ['😀'],
  },
  {
    clause: '5.6',
    what: 'a character that is never finished',
    send: [fragmentsOf('good', hex('f09f98'))],
    closes: 1007,
    refused: 'bad_frame',
  },
  {
    clause: '5.6',
    what: 'a character that the next fragment does not go on with',
    send: [fragmentsOf(hex('e282'), 'x')],
    closes: 1007,
    refused: 'bad_frame',
  },
  {
    clause: '5.6',
    what: 'bad text in JSON',
    send: [
      frameOf({
        payload: Buffer.concat([Buffer.from('{"type":"message","text":"'), hex('ff'), Buffer.from('"}')]),
      }),
    ],
    closes: 1007,
    refused: 'bad_frame',
  },
];

export const utf8: SessionRow[] = [...good, ...bad, ...inFragments];
