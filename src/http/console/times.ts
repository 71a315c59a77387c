import { type Html, html } from '../../lib/html.ts'

const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS
const DAY_MS = 24 * HOUR_MS
const CLOCK_CHARACTERS = 5
const MOMENT_CHARACTERS = 8
/** Made once: making one takes 50 times as long as using it. */
const dayFormat = new Intl.DateTimeFormat('en-GB', {
  day: 'numeric',
  month: 'short',
  timeZone: 'UTC',
})

/** Returns a time: relative within a day, else the date. The exact time appears on hover. */
export function timeTag(time: Date, now = new Date()): Html {
  const exact = exactTime(time)
  return html`<time datetime="${time.toISOString()}" title="${exact}">${relativeTime(time, now)}</time>`
}

/** Returns a time as a clock time, or as a date: "14:02", "tomorrow, 02:31", "20 Oct". */
export function clockTag(time: Date, now = new Date()): Html {
  const days = utcDay(time) - utcDay(now)
  const clock = `${time.toISOString().slice(11, 11 + CLOCK_CHARACTERS)} UTC`
  const isNear = Math.abs(time.getTime() - now.getTime()) < DAY_MS
  const day = days === 0 ? '' : days > 0 ? 'tomorrow, ' : 'yesterday, '
  const text = days === 0 || isNear ? `${day}${clock}` : dayOf(time, now)
  return html`<time datetime="${time.toISOString()}" title="${exactTime(time)}">${text}</time>`
}

/** Returns a time to the second (UTC), where the order of several matters: "26 Nov 14:02:31". */
export function momentTag(time: Date, now = new Date()): Html {
  const text = `${dayOf(time, now)} ${time.toISOString().slice(11, 11 + MOMENT_CHARACTERS)}`
  return html`<time datetime="${time.toISOString()}" title="${exactTime(time)}">${text}</time>`
}

/** Returns a duration in the largest unit that keeps it readable: "3 minutes", "12 days". */
export function durationText(ms: number): string {
  const units = [
    [DAY_MS, 'day'],
    [HOUR_MS, 'hour'],
    [MINUTE_MS, 'minute'],
    [1000, 'second'],
  ] as const
  const [unitMs, name] = units.find(([each]) => ms >= each) ?? units[3]
  const count = Math.round(ms / unitMs)
  return count === 1 ? `1 ${name}` : `${count} ${name}s`
}

function utcDay(time: Date): number {
  return Math.floor(time.getTime() / DAY_MS)
}

function relativeTime(time: Date, now: Date): string {
  const ms = time.getTime() - now.getTime()
  if (Math.abs(ms) >= DAY_MS) return dayOf(time, now)
  if (Math.abs(ms) < MINUTE_MS) return ms > 0 ? 'in less than a minute' : 'just now'
  // Whole minutes, so that a page that is polled changes at most once a minute.
  return ms > 0 ? `in ${durationText(ms)}` : `${durationText(-ms)} ago`
}

function dayOf(time: Date, now: Date): string {
  const day = dayFormat.format(time)
  return time.getUTCFullYear() === now.getUTCFullYear() ? day : `${day} ${time.getUTCFullYear()}`
}

function exactTime(time: Date): string {
  return `${time.toISOString().slice(0, 19).replace('T', ' ')} UTC`
}
