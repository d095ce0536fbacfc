/** A block of a stream of events. One without data tells no more than the new id. */
export type StreamBlock = { event: string; id: string | undefined; data: string };

const LINE_END = /\r\n|\r|\n/;

/** Reads Server-Sent Events (HTML Living Standard 9.2.6), in whatever pieces they come. */
export class StreamParser {
  readonly #decoder = new TextDecoder();
  #text = '';
  #event = '';
  #id: string | undefined;
  #data: string[] = [];

  /** Takes the next bytes; gives the blocks that are whole. */
  add(chunk: Uint8Array): StreamBlock[] {
    this.#text += this.#decoder.decode(chunk, { stream: true });
    const blocks: StreamBlock[] = [];
    for (;;) {
      const end = LINE_END.exec(this.#text);
      // A CR at the end may be half of a CRLF.
      if (end === null || (end[0] === '\r' && end.index === this.#text.length - 1)) return blocks;
      const line = this.#text.slice(0, end.index);
      this.#text = this.#text.slice(end.index + end[0].length);
      if (line === '') this.#dispatch(blocks);
      else this.#take(line);
    }
  }

  #take(line: string): void {
    const colon = line.indexOf(':');
    const field = colon === -1 ? line : line.slice(0, colon);
    const value = colon === -1 ? '' : line.slice(colon + 1).replace(/^ /, '');
    if (field === 'event') this.#event = value;
    else if (field === 'data') this.#data.push(value);
    else if (field === 'id' && !value.includes('\0')) this.#id = value;
  }

  #dispatch(blocks: StreamBlock[]): void {
    const data = this.#data.join('\n');
    if (data !== '' || this.#id !== undefined) {
      blocks.push({ event: this.#event || 'message', id: this.#id, data });
    }
    this.#event = '';
    this.#id = undefined;
    this.#data = [];
  }
}
