import { type Command, Option } from 'commander';
import { filterProperties } from '../core/schemas.ts';

/** What is looked at of a filter’s schema. */
type FilterSchema = { description?: string };

const collect = (value: string, earlier: string[] = []): string[] => [...earlier, value];

/**
 * A flag for each filter that the API has, by the same name but for the underscores. Each may be given more than once, for
 * the server to refuse where it may not: to take the last one would be another filter than was asked for.
 */
function filterOptions(): { name: string; option: Option }[] {
  return Object.entries(filterProperties).map(([name, schema]) => {
    // TypeBox keeps what it does not check out of a schema's type.
    const { description = '' } = schema as FilterSchema;
    const [first = '', ...rest] = description;
    const option = new Option(
      `--${name.replaceAll('_', '-')} <value>`,
      (first.toLowerCase() + rest.join('')).replace(/\.$/, '').replace(' (encode + as %2B)', ''),
    ).argParser(collect);
    return { name, option };
  });
}

/** Gives a command a flag for each filter. */
export function addFilters(command: Command): Command {
  for (const { option } of filterOptions()) command.addOption(option);
  return command;
}

/** The filters that were given, as the API’s parameters. */
export function filterParameters(options: Record<string, unknown>): URLSearchParams {
  const parameters = new URLSearchParams();
  for (const { name, option } of filterOptions()) {
    const values = options[option.attributeName()] as string[] | undefined;
    for (const value of values ?? []) parameters.append(name, value);
  }
  return parameters;
}
