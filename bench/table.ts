/** A Markdown table whose columns stand below each other in plain text as well: the first to the left, the others to the right. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = [head, ...rows];
  const widths = head.map((_, column) =>
    Math.max(3, ...lines.map((line) => [...(line[column] ?? '')].length)),
  );
  const pad = (text: string, column: number): string => {
    const blanks = ' '.repeat((widths[column] ?? 0) - [...text].length);
    return column === 0 ? text + blanks : blanks + text;
  };
  const draw = (line: readonly string[]): string =>
    `| ${head.map((_, column) => pad(line[column] ?? '', column)).join(' | ')} |`;
  const rule = widths.map((width, column) =>
    column === 0 ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`,
  );
  return [draw(head), `| ${rule.join(' | ')} |`, ...rows.map(draw)].join('\n');
}

/** Three digits that count, thousands separated. */
export function digits(value: number): string {
  if (!Number.isFinite(value)) return '-';
  if (value === 0) return '0';
  const decimals = Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value))));
  return value.toLocaleString('en-US', {
    minimumFractionDigits: Math.min(decimals, 3),
    maximumFractionDigits: Math.min(decimals, 3),
  });
}
