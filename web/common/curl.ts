/** One word for a POSIX shell, whatever is in it. */
const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;

/** The command that asks for the same. The token is not in it: it would stay in the shell's history. */
export const curlOf = (address: string, flags = '-sS'): string =>
  `curl ${flags} ${quoted(address)} -H "Authorization: Bearer $MINUTEBOOK_TOKEN"`;
