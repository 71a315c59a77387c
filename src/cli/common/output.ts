import { styleText } from 'node:util'
import { nameCommands } from './remedies.ts'

const MINUTE = 60
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR
const GAP = '  '
const BAR_WIDTH = 30
const MARKS = {
  ok: styleText('green', '✔'),
  skipped: styleText('yellow', '-'),
  warn: styleText('yellow', '!'),
  fail: styleText('red', '✖'),
}

interface Column<T> {
  title: string
  of(row: T): string | number | null | undefined
}

export interface Table<T> {
  columns: Column<T>[]
  /** Printed if there is no row. */
  empty: string
  /** A line below the row, for what does not fit a column. Undefined: none. */
  note?(row: T): string | null | undefined
}

/** Prints one JSON document, for programs. */
export function printJson(value: unknown): void {
  console.log(JSON.stringify(value, null, 2))
}

/** Prints aligned columns under their titles. */
export function printTable<T>(rows: T[], { columns, empty, note }: Table<T>): void {
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
  for (const [at, row] of rows.entries()) {
    console.log(line(cells[at] ?? []))
    const text = note?.(row)
    if (text) printRemedy(text)
  }
}

/** Prints names and values, one pair per line. Leaves undefined values out. */
export function printFields(fields: Record<string, string | number | null | undefined>): void {
  const shown = Object.entries(fields).filter(([, value]) => value !== undefined)
  const width = Math.max(...shown.map(([name]) => name.length))
  for (const [name, value] of shown) {
    const text = wrap(printable(value), width + GAP.length)
    console.log(`${styleText('bold', name.padEnd(width))}${GAP}${text}`)
  }
}

/** Prints what to do about the line above, with commands in place of API calls. */
export function printRemedy(remedy: string, indent = GAP): void {
  const arrow = '→ '
  console.log(
    `${indent}${arrow}${wrap(printable(nameCommands(remedy)), indent.length + arrow.length)}`,
  )
}

/** Breaks a text at the terminal's width and indents the lines after the first. */
export function wrap(text: string, indent: number): string {
  const { isTTY, columns } = process.stdout
  // Another program reads it, or the terminal has no known width.
  if (!isTTY || !columns || columns - indent < BAR_WIDTH) return text
  return wrapAt(text, columns - indent).join(`\n${' '.repeat(indent)}`)
}

/** Returns a time as `in 5 h` or `2 d ago`, by this machine's clock. */
export function relative(time: string | null | undefined): string {
  if (!time) return '-'
  const seconds = Math.round((Date.parse(time) - Date.now()) / 1000)
  const size = Math.abs(seconds)
  const [unit, per] =
    size >= 2 * DAY ? ['d', DAY] : size >= 2 * HOUR ? ['h', HOUR] : ['min', MINUTE]
  const text = size < 2 * MINUTE ? `${size} s` : `${Math.round(size / Number(per))} ${unit}`
  return seconds < 0 ? `${text} ago` : `in ${text}`
}

/** Returns a time and its distance from now. */
export function timeText(time: string | null | undefined): string {
  return time ? `${time} (${relative(time)})` : '-'
}

/** Returns the sign in front of a line. */
export function mark(kind: keyof typeof MARKS): string {
  return MARKS[kind]
}

/** Shows a progress bar on a terminal. */
export function showBar(done: number, all: number): void {
  const filled = Math.floor((done / all) * BAR_WIDTH)
  const bar = '█'.repeat(filled) + '░'.repeat(BAR_WIDTH - filled)
  showProgress(`${bar} ${done} of ${all}`)
}

/** Overwrites the last line of standard error on a terminal. Does nothing elsewhere. */
export function showProgress(text: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${text}`)
}

/** Clears the line of `showProgress`. */
export function endProgress(): void {
  showProgress('')
}

/** Replaces control characters, so that text from outside cannot control the terminal. */
export function printable(value: string | number | null | undefined): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are the characters to replace
  return String(value ?? '-').replace(/[\x00-\x1f\x7f-\x9f]/g, ' ')
}

function wrapAt(text: string, width: number): string[] {
  const lines = ['']
  for (const word of text.split(' ')) {
    const line = lines.at(-1) ?? ''
    const longer = line === '' ? word : `${line} ${word}`
    if (line !== '' && longer.length > width) lines.push(word)
    else lines[lines.length - 1] = longer
  }
  return lines
}
