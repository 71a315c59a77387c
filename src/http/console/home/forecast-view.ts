import type { Forecast } from '../../../accounts/forecast.ts'
import { type Html, html } from '../../../lib/html.ts'
import { card, facts, formatNumber } from '../parts.ts'
import { clockTag, durationText } from '../times.ts'

const WIDTH = 720
const HEIGHT = 100
const GAP = 4
/** Hours whose bar has its time below: every sixth. */
const LABELLED = [0, 6, 12, 18]

/** Shows the refreshes of the next 24 hours against the pace, and what is due now. */
export function forecastView({ integrations }: Forecast): Html {
  const running = integrations.filter(({ hours }) => hours.length > 0)
  const lines = running.map(
    ({ integration, state, backlog, oldestDueSeconds, clearsAt, pacePerSecond }) =>
      [
        integration,
        html`${backlogText(backlog, oldestDueSeconds)} ${
          state === 'running'
            ? html`${backlog > 0 && (clearsAt === null ? 'It does not clear within a day: raise the pace.' : html`Clears ${clockTag(clearsAt)}.`)} The pace is ${pacePerSecond} a second.`
            : `Nothing is refreshed while it is ${state}.`
        }`,
      ] as const,
  )
  return card('Refreshes, next 24 hours', html`${calendar(sumHours(running))}${facts(lines)}`)
}

function backlogText(backlog: number, oldestDueSeconds: number): string {
  if (backlog === 0) return 'Nothing is due now.'
  return `${formatNumber(backlog)} due now, the oldest for ${durationText(oldestDueSeconds * 1000)}.`
}

interface Hour {
  from: Date
  due: number
  capacity: number
}

function sumHours(integrations: Forecast['integrations']): Hour[] {
  const hours: Hour[] = []
  for (const { hours: own } of integrations) {
    for (const [at, { from, due, capacity }] of own.entries()) {
      const sum = hours[at] ?? { from, due: 0, capacity: 0 }
      hours[at] = { from, due: sum.due + due, capacity: sum.capacity + capacity }
    }
  }
  return hours
}

function calendar(hours: readonly Hour[]): Html | undefined {
  const [first] = hours
  if (first === undefined) return undefined
  const most = hours.reduce((max, hour) => (hour.due > max.due ? hour : max), first)
  const { capacity } = first
  // A limit far above the bars would make them invisible.
  const hasLimit = capacity <= most.due * 2
  const top = Math.max(1, most.due, hasLimit ? capacity : 0)
  const heightOf = (count: number) => (count / top) * HEIGHT
  const step = WIDTH / hours.length
  const bars = hours.map(({ due }, at) => {
    const height = due === 0 ? 0 : Math.max(1, heightOf(due))
    return html`<rect x="${fixed(at * step + GAP / 2)}" y="${fixed(HEIGHT - height)}" width="${fixed(step - GAP)}" height="${fixed(height)}"></rect>`
  })
  const limitY = fixed(HEIGHT - heightOf(capacity))
  const limit =
    hasLimit && html`<line class="limit" x1="0" x2="${WIDTH}" y1="${limitY}" y2="${limitY}"></line>`
  const allowed = `The pace allows ${formatNumber(capacity)} an hour`
  const busiest =
    most.due === 0
      ? 'no refresh is expected'
      : `most are expected in the hour from ${hourText(most.from)} UTC: ${formatNumber(most.due)}`
  return html`<p>${allowed}; ${busiest}.</p>
<div><svg class="plot" viewBox="0 0 ${WIDTH} ${HEIGHT}" preserveAspectRatio="none" role="img" aria-label="Refreshes per hour, next 24 hours. ${allowed}; ${busiest}."><title>Refreshes per hour</title>
<g class="bars">${bars}</g><line x1="0" x2="${WIDTH}" y1="${HEIGHT}" y2="${HEIGHT}"></line>${limit}</svg></div>
<div class="plot-times" aria-hidden="true">${LABELLED.map((at) => html`<span>${hourText(hours[at]?.from ?? first.from)}</span>`)}</div>`
}

function fixed(number: number): string {
  return number.toFixed(1)
}

function hourText(time: Date): string {
  return `${time.toISOString().slice(11, 13)}:00`
}
