import { styleText } from 'node:util'

const MINUTE = 60
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR
const GAP = '  '
const BAR_WIDTH = 30
const MARKS = {
  ok: styleText('green', '✔'),
  warn: styleText('yellow', '!'),
  fail: styleText('red', '✖'),
}

export interface Column<T> {
  title: string
  of(row: T): string | number | null | undefined
}

/** One document, for programs. */
export function printJson(value: unknown): void {
  console.log(JSON.stringify(value, null, 2))
}

/** Aligned columns, or `empty` where there is no row. */
export function printTable<T>(rows: T[], columns: Column<T>[], empty: string): void {
  if (rows.length === 0) {
    console.log(empty)
    return
  }
  const cells = rows.map((row) => columns.map(({ of }) => printable(of(row))))
  const widths = columns.map(({ title }, at) =>
    Math.max(title.length, ...cells.map((line) => line[at]?.length ?? 0)),
  )
  const line = (texts: string[]) =>
    texts
      .map((text, at) => text.padEnd(widths[at] ?? 0))
      .join(GAP)
      .trimEnd()
  console.log(styleText('bold', line(columns.map(({ title }) => title))))
  for (const texts of cells) console.log(line(texts))
}

/** Names and what they are, one below the other. Undefined is left out. */
export function printFields(fields: Record<string, string | number | null | undefined>): void {
  const shown = Object.entries(fields).filter(([, value]) => value !== undefined)
  const width = Math.max(...shown.map(([name]) => name.length))
  for (const [name, value] of shown) {
    console.log(`${styleText('bold', name.padEnd(width))}${GAP}${printable(value)}`)
  }
}

/** `in 5 h` or `2 d ago`, as seen from this machine's clock. */
export function relative(time: string | null | undefined): string {
  if (!time) return '-'
  const seconds = Math.round((Date.parse(time) - Date.now()) / 1000)
  const size = Math.abs(seconds)
  const [unit, per] =
    size >= 2 * DAY ? ['d', DAY] : size >= 2 * HOUR ? ['h', HOUR] : ['min', MINUTE]
  const text = size < 2 * MINUTE ? `${size} s` : `${Math.round(size / Number(per))} ${unit}`
  return seconds < 0 ? `${text} ago` : `in ${text}`
}

/** The time itself, and how far away it is. */
export function timeText(time: string | null | undefined): string {
  return time ? `${time} (${relative(time)})` : '-'
}

/** A sign in front of a line. */
export function mark(kind: 'ok' | 'warn' | 'fail'): string {
  return MARKS[kind]
}

/** How far it is, where somebody watches. */
export function showBar(done: number, all: number): void {
  const filled = Math.floor((done / all) * BAR_WIDTH)
  const bar = '█'.repeat(filled) + '░'.repeat(BAR_WIDTH - filled)
  showProgress(`${bar} ${done} of ${all}`)
}

/** A line of stderr that is written over and over, where somebody watches; nothing elsewhere. */
export function showProgress(text: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${text}`)
}

export function endProgress(): void {
  showProgress('')
}

/** What came over the wire must not steer the terminal. */
export function printable(value: string | number | null | undefined): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is taken out
  return String(value ?? '-').replace(/[\x00-\x1f\x7f-\x9f]/g, ' ')
}
