/** RFC 6455 frames made and read by hand, so that what is sent may be wrong in any way. */

export const OPCODES = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const;

/** What a frame of a client looks like; left out, it is a good text frame. */
export type FrameParts = {
  fin?: boolean;
  /** The three reserved bits: 4, 2 and 1 are RSV1, RSV2 and RSV3. */
  rsv?: number;
  opcode?: number;
  /** null: not masked. */
  mask?: Buffer | null;
  payload?: Buffer | string;
  /** The length as the header tells it; the payload’s own unless given. */
  length?: bigint;
  /** In how many bits the header tells it; as few as will do unless given. */
  lengthBits?: 7 | 16 | 64;
};

const MASK = Buffer.from([0x37, 0xfa, 0x21, 0x3d]);

const masked = (payload: Buffer, mask: Buffer): Buffer =>
  Buffer.from(payload.map((byte, index) => byte ^ (mask[index % 4] ?? 0)));

function lengthBytes(length: bigint, bits: 7 | 16 | 64, maskBit: number): Buffer {
  if (bits === 7) return Buffer.from([maskBit | Number(length)]);
  const bytes = Buffer.alloc(bits === 16 ? 3 : 9);
  bytes[0] = maskBit | (bits === 16 ? 126 : 127);
  if (bits === 16) bytes.writeUInt16BE(Number(length), 1);
  else bytes.writeBigUInt64BE(length, 1);
  return bytes;
}

/** The bytes of one frame (RFC 6455 5.2). */
export function frameOf(parts: FrameParts | string = {}): Buffer {
  const {
    fin = true,
    rsv = 0,
    opcode = OPCODES.text,
    mask = MASK,
    payload: given = '',
    ...rest
  } = typeof parts === 'string' ? { payload: parts } : parts;
  const payload = Buffer.from(given);
  const length = rest.length ?? BigInt(payload.length);
  const bits = rest.lengthBits ?? (length < 126n ? 7 : length < 65_536n ? 16 : 64);
  return Buffer.concat([
    Buffer.from([(fin ? 0x80 : 0) | (rsv << 4) | opcode]),
    lengthBytes(length, bits, mask === null ? 0 : 0x80),
    mask ?? Buffer.alloc(0),
    mask === null ? payload : masked(payload, mask),
  ]);
}

/** A message in fragments (RFC 6455 5.4). */
export const fragmentsOf = (...payloads: (Buffer | string)[]): Buffer =>
  Buffer.concat(
    payloads.map((payload, index) =>
      frameOf({
        fin: index === payloads.length - 1,
        opcode: index === 0 ? OPCODES.text : OPCODES.continuation,
        payload,
      }),
    ),
  );

/** A close frame with a code and a reason (RFC 6455 5.5.1). */
export function closeOf(code: number, reason: Buffer | string = ''): Buffer {
  const head = Buffer.alloc(2);
  head.writeUInt16BE(code);
  return frameOf({ opcode: OPCODES.close, payload: Buffer.concat([head, Buffer.from(reason)]) });
}

/** A frame that the server sent. */
export type ServerFrameBytes = { first: number; opcode: number; masked: boolean; payload: Buffer };

/** Takes the first whole frame off some bytes; undefined while it is not all there. */
export function takeFrame(bytes: Buffer): { frame: ServerFrameBytes; rest: Buffer } | undefined {
  const [first, second] = bytes;
  if (first === undefined || second === undefined) return undefined;
  const short = second & 0x7f;
  const start = 2 + (short === 126 ? 2 : short === 127 ? 8 : 0);
  if (bytes.length < start) return undefined;
  const length =
    short === 126 ? bytes.readUInt16BE(2) : short === 127 ? Number(bytes.readBigUInt64BE(2)) : short;
  if (bytes.length < start + length) return undefined;
  const payload = bytes.subarray(start, start + length);
  const frame = { first, opcode: first & 0x0f, masked: (second & 0x80) !== 0, payload };
  return { frame, rest: bytes.subarray(start + length) };
}
