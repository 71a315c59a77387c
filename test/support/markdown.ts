import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

const ROOT = join(import.meta.dirname, '..', '..')
const FENCE = /^```(\w*)\n([\s\S]*?)^```/gm

/** A page of the documentation. */
export interface Page {
  /** Path from the root of the repository. */
  path: string
  text: string
}

/** Reads the README, the changelog, `docs/` and the READMEs of test and bench folders. */
export function readPages(): Page[] {
  return globSync(['README.md', 'CHANGELOG.md', 'docs/*.md', '{test,bench}/**/README.md'], {
    cwd: ROOT,
  })
    .sort()
    .map((path) => ({ path, text: readFileSync(join(ROOT, path), 'utf8') }))
}

/** Returns the text below a heading, up to the next one of the same or a higher level. */
export function sectionOf(text: string, heading: string): string {
  const lines = text.split('\n')
  const start = lines.findIndex((line) => /^#+ /.test(line) && line.replace(/^#+ /, '') === heading)
  if (start === -1) return ''
  const level = lines[start]?.indexOf(' ') ?? 0
  const rest = lines.slice(start + 1)
  const end = rest.findIndex((line) => /^#+ /.test(line) && line.indexOf(' ') <= level)
  return rest.slice(0, end === -1 ? undefined : end).join('\n')
}

/** Returns the cells of each table row below its header. */
export function rowsOf(text: string): string[][] {
  const rows = text.split('\n').filter((line) => line.startsWith('|'))
  const cells = rows.map((line) =>
    line
      .split(/(?<!\\)\|/)
      .slice(1, -1)
      .map((cell) => cell.trim()),
  )
  const isRule = (row: string[] | undefined) => row?.every((cell) => /^-+$/.test(cell)) === true
  return cells.filter((row, at) => !isRule(row) && !isRule(cells[at + 1]))
}

/** Returns the code spans of a text, without code blocks. */
export function codeSpansOf(text: string): string[] {
  const prose = text.replaceAll(FENCE, '')
  return [...prose.matchAll(/`([^`\n]+)`/g)].map(([, code = '']) => code)
}

/** Returns the lines of all shell blocks, continued lines joined, comments removed. */
export function shellLinesOf(text: string): string[] {
  const blocks = [...text.matchAll(FENCE)].filter(([, language]) => language === 'sh')
  return blocks
    .flatMap(([, , body = '']) => body.replaceAll('\\\n', ' ').split('\n'))
    .map((line) => line.replace(/\s#.*$/, '').trim())
    .filter((line) => line !== '' && !line.startsWith('#'))
}

/** Returns the anchors that GitHub generates for a page's headings. */
export function anchorsOf(text: string): string[] {
  const headings = text.replaceAll(FENCE, '').matchAll(/^#+ (.+)$/gm)
  return Array.from(headings, ([, heading = '']) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}_ -]/gu, '')
      .replaceAll(' ', '-'),
  )
}
