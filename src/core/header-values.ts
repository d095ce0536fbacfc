/**
 * The values of a header as they came, one for each line. Node joins, drops or keeps the first of several, each header in
 * its own way; who checks a header that may come once only has to see them all.
 *
 * @param rawHeaders names and values by turns, as Node’s parser gives them
 * @param name in lower case
 */
export function headerValues(rawHeaders: readonly string[], name: string): string[] {
  const values: string[] = [];
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const [key = '', value = ''] = [rawHeaders[index], rawHeaders[index + 1]];
    if (key.length === name.length && key.toLowerCase() === name) values.push(value);
  }
  return values;
}
