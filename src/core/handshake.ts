import { CodedError } from './errors.ts';
import { offeredTicket } from './subprotocols.ts';

/** RFC 6455 4.1: a nonce of 16 bytes, base64-encoded. */
const KEY = /^[+/0-9A-Za-z]{22}==$/;

/** What is looked at of a request that asks for a WebSocket. */
export type Handshake = {
  httpVersion: string;
  headers: Readonly<Record<string, string | string[] | undefined>>;
};

/**
 * Refuses what is no handshake of RFC 6455 4.2.1. ws would answer some of these by itself, in plain text and
 * unrecorded, and let others pass.
 *
 * @throws CodedError `upgrade_required` or `bad_request`
 */
export function checkHandshake({ httpVersion, headers }: Handshake): void {
  const refuse = (message: string): never => {
    throw new CodedError('bad_request', message);
  };
  if (httpVersion !== '1.1') refuse('A WebSocket handshake is a request of HTTP/1.1.');
  if (headers['sec-websocket-version'] !== '13') {
    throw new CodedError('upgrade_required', 'Only version 13 of WebSocket is spoken here.');
  }
  const key = headers['sec-websocket-key'];
  if (typeof key !== 'string' || !KEY.test(key)) refuse('Sec-WebSocket-Key is not 16 bytes in base64.');
  const offers = headers['sec-websocket-protocol'];
  if (Array.isArray(offers)) refuse('Sec-WebSocket-Protocol was given twice.');
  else offeredTicket(offers);
  // Else it is a matter of opinion where frames begin.
  if ((headers['content-length'] ?? '0') !== '0' || headers['transfer-encoding'] !== undefined) {
    refuse('A WebSocket handshake has no body.');
  }
}
