import { createHash, randomBytes } from 'node:crypto';
import type { Db } from '../../db/client.ts';
import { issueTicket, takeTicket } from '../../db/tickets.ts';
import { CodedError } from '../../src/core/errors.ts';
import { type Principal, unauthenticated } from './principal.ts';

/** What a browser offers as a subprotocol instead of a token, once. */
export type Ticket = {
  ticket: string;
  /** By the database’s clock. */
  expires_at: string;
};

/** 256 bits (ASVS 7.2.3 asks for 128). */
const TICKET_BYTES = 32;
const TICKET = /^[\w-]{43}$/;

const hashOf = (ticket: string): Buffer => createHash('sha256').update(ticket).digest();

/** A principal as it is kept; JSON escapes what Postgres would not store in a text. */
const pack = ({ userId, scopes, rooms, expiresAt, keyThumbprint }: Principal): string =>
  JSON.stringify({ userId, scopes: [...scopes], rooms: rooms && [...rooms], expiresAt, keyThumbprint });

type Packed = {
  userId: string;
  scopes: string[];
  rooms?: string[];
  expiresAt?: number;
  keyThumbprint?: string;
};

function unpack(text: string): Principal {
  const { userId, scopes, rooms, expiresAt, keyThumbprint } = JSON.parse(text) as Packed;
  return { userId, scopes: new Set(scopes), rooms: rooms && new Set(rooms), expiresAt, keyThumbprint };
}

/** What the database could not do; a ticket that may have been taken all the same is lost, and the next one is free. */
function unanswered(cause: unknown): never {
  throw new CodedError('audit_unavailable', 'The database does not answer now; try again later.', { cause });
}

/** Makes a ticket that admits a principal once. @throws CodedError `audit_unavailable` */
export async function sellTicket(db: Db, principal: Principal): Promise<Ticket> {
  const ticket = randomBytes(TICKET_BYTES).toString('base64url');
  return { ticket, expires_at: await issueTicket(db, hashOf(ticket), pack(principal)).catch(unanswered) };
}

/** Whom a ticket admits; it admits nobody after. @throws CodedError `unauthenticated`, `audit_unavailable` */
export async function redeemTicket(db: Db, ticket: string): Promise<Principal> {
  const packed = TICKET.test(ticket) ? await takeTicket(db, hashOf(ticket)).catch(unanswered) : null;
  if (packed === null) {
    throw unauthenticated(
      'There is no such ticket: it was used, or is older than 30 s. POST /ws/ticket gives one.',
    );
  }
  const principal = unpack(packed);
  if (principal.expiresAt !== undefined && principal.expiresAt <= Date.now()) {
    throw unauthenticated('The token that bought this ticket has expired.');
  }
  return principal;
}
