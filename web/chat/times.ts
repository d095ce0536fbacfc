// In the viewer's zone; the log's own words stand in the tooltips.
const clock = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' });
const day = new Intl.DateTimeFormat(undefined, {
  weekday: 'long',
  day: 'numeric',
  month: 'long',
  year: 'numeric',
});

/** @param timestamp as the log writes it */
export const clockTime = (timestamp: string): string => clock.format(new Date(timestamp));

export const dayOf = (timestamp: string): string => day.format(new Date(timestamp));

/** When a token expires: with the day where that is another one. */
export function moment(ms: number): string {
  const time = clock.format(ms);
  return day.format(ms) === day.format(Date.now()) ? time : `${time}, ${day.format(ms)}`;
}
