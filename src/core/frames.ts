import type { TSchema } from 'typebox';
import { Compile } from 'typebox/compile';
import { CodedError, type ErrorCode } from './errors.ts';
import {
  type ClientFrame,
  JoinFrame,
  LeaveFrame,
  MAX_REF_LENGTH,
  MessageFrame,
  type ServerFrame,
} from './frame-schemas.ts';
import { isName, isStorable, MAX_NAME_BYTES } from './text.ts';

/** A frame was refused; `ref` is the client's label where it could be read. */
export class FrameError extends CodedError {
  readonly ref: string | undefined;

  constructor(code: ErrorCode, message: string, ref?: string) {
    super(code, message);
    this.name = 'FrameError';
    this.ref = ref;
  }
}

const compile = <T extends TSchema>(schema: T) => Compile(schema);
const validators = {
  join: compile(JoinFrame),
  leave: compile(LeaveFrame),
  message: compile(MessageFrame),
};

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

function refOf({ ref }: Record<string, unknown>): string | undefined {
  // Characters are counted as the schema counts them (JSON Schema 6.3.1): an emoji is one.
  return typeof ref === 'string' && [...ref].length <= MAX_REF_LENGTH ? ref : undefined;
}

function parseObject(text: string): ClientFrame {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw Object.assign(new FrameError('bad_frame', 'The frame is not valid JSON.'), { cause });
  }
  if (!isObject(value)) throw new FrameError('bad_frame', 'The frame is not a JSON object.');
  const ref = refOf(value);
  const { type } = value;
  if (typeof type !== 'string' || !Object.hasOwn(validators, type)) {
    throw new FrameError('bad_frame', 'The frame’s “type” must be join, leave or message.', ref);
  }
  const validator = validators[type as keyof typeof validators];
  // JSON.parse makes an own `__proto__` key, which the compiled check does not count as a key.
  if (Object.hasOwn(value, '__proto__') || !validator.Check(value)) {
    const [error] = validator.Errors(value);
    const extra = Object.keys(value).find((key) => !Object.hasOwn(validator.Type().properties, key));
    const where = error === undefined || error.instancePath === '' ? 'the frame' : error.instancePath;
    const what =
      extra === undefined ? `${where} ${error?.message ?? 'is malformed'}` : 'it has an unknown key';
    throw new FrameError('bad_frame', `A ${type} frame is malformed: ${what}.`, ref);
  }
  return value;
}

/**
 * Reads one text frame. Text whose first non-blank character is not `{` is a message with that very text, so
 * that a person at `wscat` can just type.
 *
 * @throws FrameError `bad_frame` or `invalid_text`
 */
export function parseFrame(text: string): ClientFrame {
  const frame: ClientFrame = text.trimStart().startsWith('{') ? parseObject(text) : { type: 'message', text };
  if (frame.type === 'message') {
    if (frame.text === '') throw new FrameError('invalid_text', 'The text is empty.', frame.ref);
    if (!isStorable(frame.text)) {
      throw new FrameError('invalid_text', 'The text holds NUL or a lone surrogate.', frame.ref);
    }
  }
  if (frame.room !== undefined && !isName(frame.room)) {
    throw new FrameError(
      'bad_frame',
      `A room’s name is 1-${MAX_NAME_BYTES} bytes of UTF-8 without control characters.`,
      frame.ref,
    );
  }
  return frame;
}

/**
 * A frame as it goes over the wire, made once however many sockets get it: one unmasked, unfragmented text
 * frame (RFC 6455 5.2).
 */
export function frameBytes(frame: ServerFrame): Buffer {
  const text = JSON.stringify(frame);
  const length = Buffer.byteLength(text);
  const header = length < 126 ? 2 : length < 65_536 ? 4 : 10;
  const bytes = Buffer.allocUnsafe(header + length);
  // FIN and opcode 1.
  bytes[0] = 0x81;
  if (header === 2) bytes[1] = length;
  else if (header === 4) {
    bytes[1] = 126;
    bytes.writeUInt16BE(length, 2);
  } else {
    bytes[1] = 127;
    bytes.writeBigUInt64BE(BigInt(length), 2);
  }
  bytes.write(text, header);
  return bytes;
}
