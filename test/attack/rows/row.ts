import type { ErrorCode } from '../../../src/core/errors.ts';
import type { Headers } from '../../support/raw-client.ts';

/** What comes over an open WebSocket, and what must follow. The clauses are those of RFC 6455. */
export type SessionRow = {
  clause: string;
  what: string;
  /** One packet each. */
  send: Buffer[];
  /** The server’s close code; left out: the session goes on, and is closed by the test with 1000. */
  closes?: number;
  /** The code of DISCONNECTED where it is not that one. */
  recorded?: number;
  /** What the room gets, in order; left out: nothing. */
  says?: string[];
  /** The error frames that the sender gets. */
  errors?: ErrorCode[];
  /** The payloads of the pongs that come. */
  pongs?: Buffer[];
  /** The code of the one MESSAGE_REFUSED; left out: there is none. */
  refused?: ErrorCode;
};

/** A handshake, and what must follow. */
export type HandshakeRow = {
  clause: string;
  what: string;
  /** Headers added, changed (several values: several lines) or, when undefined, left out. */
  headers?: Headers;
  path?: string;
  method?: string;
  version?: string;
  /** What comes after the head. */
  body?: string;
  /** 101: a session opens. */
  status: number;
  code?: ErrorCode;
  /** The action that it is put on record under; left out: CONNECTION_REFUSED. */
  action?: 'CONNECTION_REFUSED' | 'REQUEST_REFUSED';
};
