/** Reads CSV as RFC 4180 says, and refuses what it does not allow. */
export function parseCsv(text: string): string[][] {
  const records: string[][] = [];
  let record: string[] = [];
  let at = 0;
  while (at < text.length) {
    let cell: string;
    if (text[at] === '"') {
      const match = /"((?:[^"]|"")*)"/y;
      match.lastIndex = at;
      const found = match.exec(text);
      if (found === null) throw new Error(`a quote is not closed at ${at}`);
      cell = (found[1] ?? '').replaceAll('""', '"');
      at = match.lastIndex;
    } else {
      const start = at;
      while (at < text.length && !/[",\r\n]/.test(text[at] ?? '')) at += 1;
      cell = text.slice(start, at);
    }
    record.push(cell);
    if (text[at] === ',') {
      at += 1;
      continue;
    }
    if (!text.startsWith('\r\n', at)) throw new Error(`neither a comma nor CRLF after a cell, at ${at}`);
    at += 2;
    records.push(record);
    record = [];
  }
  if (record.length > 0) throw new Error('the last record has no end');
  return records;
}
