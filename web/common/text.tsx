import { UNSEEN } from '../../src/core/unseen.ts';
import './text.css';

const nameOf = (character: string): string =>
  `U+${(character.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0')}`;

type Piece = { text: string; isMark: boolean };

/** A text in pieces: what is shown as it is, and what would turn or hide the rest. Line ends and tabs are as they are. */
function piecesOf(text: string): Piece[] {
  const pieces: Piece[] = [];
  let from = 0;
  for (const { 0: mark, index } of text.matchAll(UNSEEN)) {
    if (mark === '\n' || mark === '\t') continue;
    pieces.push({ text: text.slice(from, index), isMark: false }, { text: nameOf(mark), isMark: true });
    from = index + mark.length;
  }
  return [...pieces, { text: text.slice(from), isMark: false }];
}

/** Text of anybody's, apart from what stands around it; nothing in it is obeyed, and nothing is hidden. */
export const Text = ({ of: text, class: name }: { of: string; class?: string }) => (
  <bdi class={name}>
    {piecesOf(text).map(({ text: piece, isMark }) => (isMark ? <span class="mark">{piece}</span> : piece))}
  </bdi>
);
