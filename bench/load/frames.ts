// The little of RFC 6455 that a load generator needs, so that it costs less than the servers it loads.

export const TEXT = 1;
export const CLOSE = 8;
export const PING = 9;
export const PONG = 10;

/** Always the same, for nobody checks that it is fresh; not zero, for ws would then skip the unmasking. */
const MASK = Buffer.from([0x1b, 0x9e, 0x55, 0xc3]);

/** A whole frame of a client (RFC 6455 5.2), masked. */
export function clientFrame(opcode: number, payload: Buffer): Buffer {
  const { length } = payload;
  if (length > 0xffff) throw new Error('A frame of the load is at most 64 KiB long.');
  const short = length < 126;
  const header = Buffer.alloc(short ? 6 : 8);
  header[0] = 0x80 | opcode;
  if (short) header[1] = 0x80 | length;
  else {
    header[1] = 0x80 | 126;
    header.writeUInt16BE(length, 2);
  }
  MASK.copy(header, header.length - MASK.length);
  return Buffer.concat([header, payload.map((byte, index) => byte ^ (MASK[index % 4] ?? 0))]);
}

/** Told of each whole frame; the payload is `bytes` from `start` to `end`, and gone after the call. */
export type OnFrame = (opcode: number, bytes: Uint8Array, start: number, end: number) => void;

/** Cuts what a server sends into frames. */
export class FrameReader {
  readonly #onFrame: OnFrame;
  /** The beginning of a frame whose end has not come yet. */
  #rest: Buffer | undefined;

  constructor(onFrame: OnFrame) {
    this.#onFrame = onFrame;
  }

  /** Takes bytes in the order of the stream; keeps none of them. */
  push(chunk: Buffer): void {
    const bytes = this.#rest === undefined ? chunk : Buffer.concat([this.#rest, chunk]);
    const { length } = bytes;
    let at = 0;
    while (length - at >= 2) {
      const opcode = (bytes[at] ?? 0) & 0x0f;
      let size = (bytes[at + 1] ?? 0) & 0x7f;
      let start = at + 2;
      if (size === 126) {
        if (length - at < 4) break;
        size = bytes.readUInt16BE(at + 2);
        start = at + 4;
      } else if (size === 127) {
        if (length - at < 10) break;
        size = Number(bytes.readBigUInt64BE(at + 2));
        start = at + 10;
      }
      if (length - start < size) break;
      this.#onFrame(opcode, bytes, start, start + size);
      at = start + size;
    }
    // A copy: the chunk’s memory is used again for the next.
    this.#rest = at === length ? undefined : Buffer.from(bytes.subarray(at));
  }
}
