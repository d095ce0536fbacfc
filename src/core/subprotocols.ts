import { CodedError } from './errors.ts';

/** The subprotocol that the server speaks, and the only one that it ever names in an answer. */
export const SUBPROTOCOL = 'minutebook.v1';
/** What comes before a ticket among the offers. */
const TICKET_PREFIX = 'ticket.';
/** RFC 9110 5.6.2, with the blanks around it; RFC 6455 4.1 wants each offer to be one. */
const OFFER = /^[ \t]*([!#$%&'*+.^_`|~0-9A-Za-z-]+)[ \t]*$/;

const malformed = (message: string): CodedError => new CodedError('bad_request', message);

/**
 * The ticket among the subprotocols that a handshake offers, the only header that a browser’s WebSocket can fill.
 * Whoever offers none of ours is welcome all the same, and is told of no subprotocol (RFC 6455 4.2.2).
 *
 * @param header Sec-WebSocket-Protocol, several of them joined by commas
 * @throws CodedError `bad_request`, never with what was offered
 */
export function offeredTicket(header: string | undefined): string | undefined {
  if (header === undefined) return undefined;
  const offers = header.split(',').map((offer) => OFFER.exec(offer)?.[1] ?? '');
  if (offers.includes('') || new Set(offers).size < offers.length) {
    throw malformed('Sec-WebSocket-Protocol is not a list of different tokens (RFC 6455 4.1).');
  }
  const tickets = offers.filter((offer) => offer.startsWith(TICKET_PREFIX));
  if (tickets.length > 1) throw malformed('More than one ticket was offered.');
  // The server may only name what was offered, and never names the ticket: a browser would give up at once.
  if (tickets.length === 1 && !offers.includes(SUBPROTOCOL)) {
    throw malformed(`Offer the subprotocol “${SUBPROTOCOL}” beside the ticket.`);
  }
  return tickets[0]?.slice(TICKET_PREFIX.length);
}
