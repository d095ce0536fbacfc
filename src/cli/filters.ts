import { type Command, Option } from 'commander';
import { filterProperties } from '../core/schemas.ts';

/** What is looked at of a filter’s schema. */
type FilterSchema = { type: string; description?: string };

const collect = (value: string, earlier: string[] = []): string[] => [...earlier, value];

/** A flag for each filter that the API has, by the same name but for the underscores. */
function filterOptions(): { name: string; option: Option }[] {
  return Object.entries(filterProperties).map(([name, schema]) => {
    // TypeBox keeps what it does not check out of a schema's type.
    const { type, description = '' } = schema as FilterSchema;
    const [first = '', ...rest] = description;
    const option = new Option(
      `--${name.replaceAll('_', '-')} <value>`,
      (first.toLowerCase() + rest.join('')).replace(/\.$/, '').replace(' (encode + as %2B)', ''),
    );
    if (type === 'array') option.argParser(collect);
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
    const value = options[option.attributeName()] as string | string[] | undefined;
    for (const one of [value ?? []].flat()) parameters.append(name, one);
  }
  return parameters;
}
