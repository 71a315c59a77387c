/** What a figure has to be. */
export interface Target {
  is: 'at least' | 'at most' | 'exactly'
  value: number
}

/** One line of the table: what was measured in each round. */
export interface Figure {
  name: string
  values: number[]
  unit?: string
  target?: Target
}

const SIGNS = { 'at least': '≥', 'at most': '≤', exactly: '=' } as const

/** Of an odd number of values the one in the middle; 0 of none. */
export function median(values: number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = Math.floor(sorted.length / 2)
  const upper = sorted[middle] ?? 0
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? 0) + upper) / 2
}

/** `percent` of all values are no greater than this. */
export function percentile(values: number[], percent: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.max(0, Math.ceil((percent / 100) * sorted.length) - 1)] ?? 0
}

/** Round by round: what both were measured under was the same. */
export function ratios(upper: number[], lower: number[]): number[] {
  return upper.map((value, round) => value / (lower[round] ?? Number.NaN))
}

function isMet({ values, target }: Figure): boolean | undefined {
  if (target === undefined) return undefined
  const measured = median(values)
  if (target.is === 'at least') return measured >= target.value
  return target.is === 'at most'
    ? measured <= target.value
    : values.every((value) => value === target.value)
}

/** A Markdown table: medians, and from the least to the greatest. */
export function tableOf(figures: Figure[]): string {
  const rows = figures.map((figure) => {
    const { name, values, unit = '', target } = figure
    const met = { true: 'met', false: '**missed**', undefined: '' }[`${isMet(figure)}`]
    const spread = `${numberOf(Math.min(...values))} … ${numberOf(Math.max(...values))}`
    return [
      name,
      target === undefined ? '' : `${SIGNS[target.is]} ${numberOf(target.value)}${unit}`,
      `${numberOf(median(values))}${unit}`,
      values.length > 1 ? spread : '',
      met ?? '',
    ]
  })
  const lines = [['figure', 'target', 'median', 'spread', ''], Array(5).fill('---'), ...rows]
  return lines.map((cells) => `| ${cells.join(' | ')} |`).join('\n')
}

const LARGE = 1_000
const MIDDLE = 10

function numberOf(value: number): string {
  if (Math.abs(value) >= LARGE) return Math.round(value).toLocaleString('en')
  return String(Number(value.toFixed(Math.abs(value) >= MIDDLE ? 1 : 2)))
}
