/** One line of a scrape. */
export type ScrapedSample = { name: string; labels: Record<string, string>; value: number };
/** One metric of a scrape with all its lines. */
export type Family = { name: string; help: string; type: string; samples: ScrapedSample[] };

const NAME = '[a-zA-Z_:][a-zA-Z0-9_:]*';
const HELP = new RegExp(`^# HELP (${NAME}) (.*)$`);
const TYPE = new RegExp(`^# TYPE (${NAME}) (counter|gauge|histogram|summary|untyped)$`);
const SAMPLE = new RegExp(`^(${NAME})(?:\\{(.*)\\})? (\\S+)$`);
const LABEL = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(?:,|$)/y;
const NUMBER = /^(NaN|[+-]Inf|-?\d+(\.\d+)?(e[+-]?\d+)?)$/;

function parseLabels(text: string, line: string): Record<string, string> {
  const labels: Record<string, string> = {};
  LABEL.lastIndex = 0;
  while (LABEL.lastIndex < text.length) {
    const [, name = '', value = ''] = LABEL.exec(text) ?? [];
    if (name === '' || name in labels) throw new Error(`labels that cannot be read: ${line}`);
    labels[name] = value;
  }
  return labels;
}

function parseValue(text: string, line: string): number {
  if (!NUMBER.test(text)) throw new Error(`not a number: ${line}`);
  return Number(text.replace('Inf', 'Infinity'));
}

/** A histogram’s buckets go up to `+Inf`, never down, and end with its count. */
function checkHistogram({ name, samples }: Family): void {
  const buckets = samples.filter((sample) => sample.name === `${name}_bucket`);
  const bounds = buckets.map(({ labels }) => Number(labels.le?.replace('Inf', 'Infinity')));
  for (const [index, { value }] of buckets.entries()) {
    const before = index === 0 ? undefined : buckets[index - 1];
    if (value < (before?.value ?? 0) || !((bounds[index] ?? Number.NaN) > (bounds[index - 1] ?? -Infinity)))
      throw new Error(`the buckets of ${name} are not cumulative`);
  }
  const count = samples.find((sample) => sample.name === `${name}_count`)?.value;
  if (bounds.at(-1) !== Infinity || buckets.at(-1)?.value !== count)
    throw new Error(`${name} does not end with all it has counted`);
  if (!samples.some((sample) => sample.name === `${name}_sum`)) throw new Error(`${name} has no sum`);
}

function checkFamily(family: Family): void {
  const { name, type, samples } = family;
  const suffixes = type === 'histogram' ? ['_bucket', '_sum', '_count'] : [''];
  const seen = new Set<string>();
  for (const sample of samples) {
    if (!suffixes.some((suffix) => sample.name === name + suffix)) {
      throw new Error(`${sample.name} stands among the lines of ${name}`);
    }
    const key = JSON.stringify([sample.name, Object.entries(sample.labels).toSorted()]);
    if (seen.has(key)) throw new Error(`twice: ${key}`);
    seen.add(key);
    if (type === 'counter' && !(sample.value >= 0)) throw new Error(`the counter ${name} is ${sample.value}`);
  }
  if (type === 'counter' && !name.endsWith('_total')) throw new Error(`the counter ${name} lacks _total`);
  if (type === 'histogram') checkHistogram(family);
}

/**
 * Reads a scrape by the rules of Prometheus’s text format 0.0.4, and by its conventions for names.
 *
 * @throws Error naming the line that breaks them
 */
export function parseExposition(text: string): Map<string, Family> {
  const families = new Map<string, Family>();
  let current: Family | undefined;
  if (!text.endsWith('\n')) throw new Error('the last line has no end');
  for (const line of text.split('\n')) {
    const [, helped, help = ''] = HELP.exec(line) ?? [];
    const [, typed, type = ''] = TYPE.exec(line) ?? [];
    const [, name, labels = '', value = ''] = SAMPLE.exec(line) ?? [];
    if (line === '') continue;
    if (helped !== undefined) {
      if (families.has(helped)) throw new Error(`${helped} is there twice`);
      current = { name: helped, help, type: '', samples: [] };
      families.set(helped, current);
    } else if (typed !== undefined) {
      if (current?.name !== typed || current.type !== '') throw new Error(`out of place: ${line}`);
      current.type = type;
    } else if (name !== undefined && current !== undefined && current.type !== '') {
      current.samples.push({ name, labels: parseLabels(labels, line), value: parseValue(value, line) });
    } else throw new Error(`not understood: ${line}`);
  }
  for (const family of families.values()) checkFamily(family);
  return families;
}

/** A scrape to be asked for values. */
export type Scrape = {
  text: string;
  families: Map<string, Family>;
  /** The value of the one line with this name and these labels; undefined: there is none. */
  value: (name: string, labels?: Record<string, string>) => number | undefined;
};

export function readScrape(text: string): Scrape {
  const families = parseExposition(text);
  const samples = [...families.values()].flatMap((family) => family.samples);
  return {
    text,
    families,
    value: (name, labels = {}) =>
      samples.find(
        (sample) =>
          sample.name === name &&
          Object.keys(sample.labels).length === Object.keys(labels).length &&
          Object.entries(labels).every(([label, value]) => sample.labels[label] === value),
      )?.value,
  };
}
