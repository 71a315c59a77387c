import { type Html, html } from '../../../lib/html.ts'
import { card, emptyState } from '../parts.ts'
import { clockTag, durationText } from '../times.ts'
import type { Entry } from './timeline.ts'

const MIN_GAP_MS = 3_600_000
/** Fewer in a row are shown one by one. */
const MIN_FOLDED = 3

export interface TimelineOptions {
  path: string
  failuresOnly: boolean
  unfolded: boolean
}

/** Shows what happened to an account, the newest first. Routine and idle time are folded. */
export function timelineCard(entries: Entry[], options: TimelineOptions): Html {
  const { path, failuresOnly, unfolded } = options
  const wanted = failuresOnly ? entries.filter(({ isFailure }) => isFailure) : entries
  const sorted = wanted.toSorted((a, b) => b.at.getTime() - a.at.getTime())
  const choices = html`<p class="acts">${choice('Everything', path, !failuresOnly && !unfolded)}
${choice('Unfolded', `${path}?unfolded=true`, unfolded && !failuresOnly)}
${choice('Failures only', `${path}?failures=true`, failuresOnly)}</p>`
  const list =
    sorted.length === 0
      ? emptyState(failuresOnly ? 'No failure is recorded.' : 'Nothing is recorded yet.')
      : html`<ol class="timeline">${unfolded ? sorted.map(line) : folded(sorted, path)}</ol>`
  return card('Timeline', html`${choices}${list}`)
}

function choice(text: string, href: string, isCurrent: boolean): Html {
  return isCurrent ? html`<b>${text}</b>` : html`<a href="${href}">${text}</a>`
}

function line({ at, text }: Entry): Html {
  return html`<li>${clockTag(at)}<div>${text}</div></li>`
}

function folded(entries: Entry[], path: string): Html[] {
  const lines: Html[] = []
  let index = 0
  let before: Date | undefined
  while (index < entries.length) {
    const run = routineFrom(entries, index)
    const [first] = run
    const last = run.at(-1)
    if (first === undefined || last === undefined) break
    if (before !== undefined) lines.push(...gap(before, first.at))
    if (run.length >= MIN_FOLDED) {
      lines.push(html`<li class="fold">${clockTag(first.at)}<div>${run.length} refreshes and probes without trouble since
${clockTag(last.at)} · <a href="${path}?unfolded=true">show them</a></div></li>`)
    } else {
      lines.push(...run.map(line))
    }
    before = last.at
    index += run.length
  }
  return lines
}

/** Returns the entries from `index` on that are folded together, at least one. */
function routineFrom(entries: Entry[], index: number): Entry[] {
  let end = index
  while (entries[end]?.isRoutine) end += 1
  return entries.slice(index, Math.max(end, index + 1))
}

function gap(later: Date, earlier: Date): Html[] {
  const ms = later.getTime() - earlier.getTime()
  if (ms < MIN_GAP_MS) return []
  return [html`<li class="fold"><span></span><div>${durationText(ms)} without events</div></li>`]
}
