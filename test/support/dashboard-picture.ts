import { escapeHtml } from '../../src/lib/html.ts'
import { fillIn, type Panel, readPanels } from './alert-rules.ts'
import type { Prometheus, Series } from './prometheus.ts'

/*
 * Draws the dashboard from the results of its queries, as Grafana would ask them: nobody can look
 * at every panel of a run otherwise. It shows shapes and ranges, not exact values.
 */

const COLUMNS = 4
const WIDTH = 300
const HEIGHT = 168
const CHART = { left: 8, top: 24, width: 284, height: 96 }
const LEGEND_LINES = 4
/** Points of a line. More cannot be seen. */
const POINTS = 90
const COLOURS = [
  '#1f77b4',
  '#d62728',
  '#2ca02c',
  '#ff7f0e',
  '#9467bd',
  '#8c564b',
  '#17becf',
  '#777777',
]

interface Span {
  fromMs: number
  toMs: number
}

interface Line {
  name: string
  values: Series['values']
}

/** Draws every panel of the dashboard as one SVG. */
export async function drawDashboard(prometheus: Prometheus, span: Span): Promise<string> {
  const panels = readPanels()
  const drawn: string[] = []
  for (const [nth, panel] of panels.entries()) {
    const x = (nth % COLUMNS) * WIDTH
    const y = Math.floor(nth / COLUMNS) * HEIGHT
    const lines = await readLines(prometheus, panel, span)
    drawn.push(`<g transform="translate(${x} ${y})">${drawPanel(panel, lines, span)}</g>`)
  }
  const size = { width: COLUMNS * WIDTH, height: Math.ceil(panels.length / COLUMNS) * HEIGHT }
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${size.width} ${size.height}" font-family="sans-serif" font-size="9">
<title>The panels of the dashboard</title>
<rect width="100%" height="100%" fill="#fff"/>
${drawn.join('\n')}
</svg>
`
}

async function readLines(
  prometheus: Prometheus,
  panel: Panel,
  { fromMs, toMs }: Span,
): Promise<Line[]> {
  const stepMs = Math.max(1_000, Math.round((toMs - fromMs) / POINTS))
  const range = `${Math.round((toMs - fromMs) / 1000)}s`
  const lines: Line[] = []
  for (const { expr, legendFormat } of panel.targets) {
    // Grafana takes four scrape intervals, and at least the step.
    const query = fillIn(expr, range, `${Math.max(4, Math.round(stepMs / 1000))}s`)
    for (const { labels, values } of await prometheus.queryRange(query, fromMs, toMs, stepMs)) {
      lines.push({ name: nameOf(labels, legendFormat), values })
    }
  }
  return lines
}

function drawPanel({ title }: Panel, lines: Line[], span: Span): string {
  const all = lines.flatMap(({ values }) => values.map(([, value]) => value))
  const top = Math.max(0, ...all.filter(Number.isFinite)) || 1
  const { left, height } = CHART
  const bottom = CHART.top + height
  const parts = [
    `<rect x="2" y="2" width="${WIDTH - 4}" height="${HEIGHT - 4}" fill="none" stroke="#ccc"/>`,
    `<text x="${left}" y="15" font-size="11" font-weight="bold">${escapeHtml(title)}</text>`,
    `<text x="${WIDTH - 8}" y="15" text-anchor="end" fill="#666">0 to ${shorten(top)}</text>`,
    `<path d="M${left} ${bottom}h${CHART.width}" stroke="#ccc"/>`,
    ...lines.map((line, nth) => drawLine(line, span, top, colourOf(nth))),
    ...drawLegend(lines, bottom),
  ]
  return parts.join('')
}

function drawLine({ values }: Line, { fromMs, toMs }: Span, top: number, colour: string): string {
  const points = values
    .filter(([, value]) => Number.isFinite(value))
    .map(([seconds, value]) => {
      const x = CHART.left + ((seconds * 1000 - fromMs) / (toMs - fromMs)) * CHART.width
      const y = CHART.top + CHART.height * (1 - Math.max(0, value) / top)
      return `${Math.round(x)} ${Math.round(y)}`
    })
  // A line through the same height needs its ends only.
  const heightOf = (point: string | undefined) => point?.split(' ')[1]
  const bends = points.filter(
    (point, nth) =>
      heightOf(point) !== heightOf(points[nth - 1]) ||
      heightOf(point) !== heightOf(points[nth + 1]),
  )
  const [first, ...rest] = bends
  if (first === undefined) return ''
  return `<path d="M${first}L${rest.join(' ') || first}" fill="none" stroke="${colour}"/>`
}

function drawLegend(lines: Line[], bottom: number): string[] {
  if (lines.length === 0) return [`<text x="8" y="${bottom + 14}" fill="#666">no series</text>`]
  const perLine = Math.ceil(Math.min(lines.length, 2 * LEGEND_LINES) / 2)
  return lines.slice(0, 2 * LEGEND_LINES).map(({ name, values }, nth) => {
    const x = CHART.left + Math.floor(nth / perLine) * (CHART.width / 2)
    const y = bottom + 10 + (nth % perLine) * 9
    const last = values.at(-1)?.[1] ?? Number.NaN
    const more = nth === 2 * LEGEND_LINES - 1 && lines.length > nth + 1
    const text = more ? `and ${lines.length - nth} more` : `${clip(name)} ${shorten(last)}`
    return `<text x="${x}" y="${y}" font-size="8" fill="${colourOf(nth)}">${escapeHtml(text)}</text>`
  })
}

function nameOf(labels: Record<string, string>, legend: string): string {
  const text = legend.replaceAll(/\{\{(\w+)\}\}/g, (_all, label: string) => labels[label] ?? '')
  return text.trim()
}

function clip(text: string): string {
  return text.length > 26 ? `${text.slice(0, 25)}…` : text
}

function shorten(value: number): string {
  if (!Number.isFinite(value)) return '–'
  return Math.abs(value) >= 10_000 ? value.toExponential(1) : String(Number(value.toPrecision(3)))
}

function colourOf(nth: number): string {
  return COLOURS[nth % COLOURS.length] ?? '#000000'
}
