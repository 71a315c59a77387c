/** The condition that a figure must meet. */
interface Target {
  is: 'at least' | 'at most' | 'exactly'
  value: number
}

/** One line of the table, with the value of each round. */
export interface Figure {
  name: string
  values: number[]
  unit?: string
  target?: Target
}

const SIGNS = { 'at least': '≥', 'at most': '≤', exactly: '=' } as const

/** Returns the middle value, or the mean of the two middle values. Returns 0 without values. */
export function median(values: number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = Math.floor(sorted.length / 2)
  const upper = sorted[middle] ?? 0
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? 0) + upper) / 2
}

/** Returns the smallest value that is not less than `percent` of all values. */
export function percentile(values: number[], percent: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.max(0, Math.ceil((percent / 100) * sorted.length) - 1)] ?? 0
}

/** Student's t for 95 % and 19 or more degrees of freedom, rounded up. */
const T_95 = 2.1

/** Returns the mean and its 95 % interval, for at least 20 values. */
export function intervalOf(values: number[]): { mean: number; low: number; high: number } {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0)
  const half = (T_95 * Math.sqrt(squares / (values.length - 1))) / Math.sqrt(values.length)
  return { mean, low: mean - half, high: mean + half }
}

/** Divides round by round, because both sides of a round met the same conditions. */
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

/** Renders a Markdown table with the median, the least and the greatest value of each figure. */
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
