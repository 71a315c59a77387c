import { existsSync, globSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import t, { type Test } from 'tap'
import { settings } from '../src/config/settings.ts'
import { RULES } from '../src/history/finding.ts'
import { explainOutcome } from '../src/http/onboarding/outcome-texts.ts'
import { ERRORS } from '../src/lib/errors.ts'
import { EXCHANGE_REFUSALS } from '../src/provider/exchange-api-key.ts'
import { explainFailure } from '../src/provider/failures.ts'
import { REFUSALS } from '../src/provider/refusals.ts'
import { MUTATIONS } from './mutants/mutations.ts'
import { commands, wrongCommand } from './support/documented-commands.ts'
import {
  anchorsOf,
  codeSpansOf,
  type Page,
  readPages,
  rowsOf,
  sectionOf,
  shellLinesOf,
} from './support/markdown.ts'

const ROOT = join(import.meta.dirname, '..')
const pages = readPages()
const read = (path: string) => readFileSync(join(ROOT, path), 'utf8')
const filesOf = (...globs: string[]) => globSync(globs, { cwd: ROOT })
const sources = filesOf('src/**/*.ts').map(read)

/**
 * Returns the table rows of a section by the code in the first cell. Fails when a code has two
 * rows.
 */
function tableOf(t: Test, path: string, heading: string): Map<string, string[]> {
  const rows = new Map<string, string[]>()
  for (const row of rowsOf(sectionOf(read(path), heading))) {
    const name = row[0]?.replaceAll('`', '') ?? ''
    t.notOk(rows.has(name), `${path}#${heading}: one row for ${name}`)
    rows.set(name, row)
  }
  return rows
}

/** Fails when another table of the documentation has a row for one of these names. */
function onlyThere(t: Test, names: Iterable<string>, path: string): void {
  const others = pages.flatMap((page) =>
    rowsOf(page.text).map(([name = '']) => ({ path: page.path, name: name.replaceAll('`', '') })),
  )
  for (const name of names) {
    const places = others.filter((other) => other.name === name).map((other) => other.path)
    t.same(places, [path], `${name} is documented in one place`)
  }
}

t.test('docs/operations.md: a row for each setting, with its default', async (t) => {
  const table = tableOf(t, 'docs/operations.md', 'Settings')
  t.same([...table.keys()].toSorted(), Object.keys(settings.properties).toSorted())
  onlyThere(t, table.keys(), 'docs/operations.md')
  for (const [name, schema] of Object.entries(settings.properties)) {
    const { default: value } = schema as { default?: unknown }
    if (value === undefined || value === '') continue
    t.equal(table.get(name)?.[1], `\`${value}\``, `${name}: the default`)
  }
})

t.test('docs/api.md: a row for each error code, with its status', async (t) => {
  const table = tableOf(t, 'docs/api.md', 'Error codes')
  const expected = Object.entries(ERRORS).map(([code, [status]]) => `${code} ${status}`)
  const documented = [...table].map(([code, row]) => `${code} ${row[1]}`)
  t.same(documented.toSorted(), expected.toSorted())
  for (const [code, row] of table) t.ok(row[2], `${code}: what to do`)
})

/** Returns the keys of an object literal that its file does not export. */
function keysOf(path: string, name: string): string[] {
  const [, body = ''] =
    new RegExp(`const ${name} = \\{\\n([\\s\\S]*?)\\n\\}`).exec(read(path)) ?? []
  return [...body.matchAll(/^ {2}([a-z_]+): \{$/gm)].map(([, key = '']) => key)
}

t.test('docs/api.md: a row for each failure code, with its kind', async (t) => {
  const table = tableOf(t, 'docs/api.md', 'last_error')
  const own = keysOf('src/provider/failures.ts', 'OWN_FAILURES')
  t.ok(own.length > 1)
  t.same([...table.keys()].toSorted(), [...Object.keys(REFUSALS), ...own].toSorted())
  for (const [code, { kind }] of Object.entries(REFUSALS)) {
    t.equal(table.get(code)?.[1], kind.replace('_', ' '), code)
  }
  for (const code of table.keys()) t.not(explainFailure(code).problem, code, code)
})

t.test('docs/api.md: a row for each outcome of an onboarding', async (t) => {
  const table = tableOf(t, 'docs/api.md', 'Onboarding outcomes')
  const own = keysOf('src/http/onboarding/outcome-texts.ts', 'OUTCOMES')
  t.ok(own.length > 20)
  t.same([...table.keys()].toSorted(), [...own, ...Object.keys(EXCHANGE_REFUSALS)].toSorted())
  for (const code of table.keys()) {
    if (code !== 'broken') t.not(explainOutcome(code), explainOutcome('broken'), code)
  }
})

t.test('docs/operations.md: a row for each metric, with its type', async (t) => {
  const table = tableOf(t, 'docs/operations.md', 'Metrics')
  const made = /new (Counter|Gauge|Histogram)\(\{\s*name: '(\w+)'/g
  const metrics = sources.flatMap((text) =>
    [...text.matchAll(made)].map(([, type = '', name]) => `${name} ${type.toLowerCase()}`),
  )
  t.ok(metrics.length > 10)
  t.same([...table].map(([name, row]) => `${name} ${row[1]}`).toSorted(), metrics.toSorted())
  onlyThere(t, table.keys(), 'docs/operations.md')
})

t.test('docs/logs-and-traces.md: a row for each span and attribute', async (t) => {
  const source = read('src/lib/spans.ts')
  const [, names = ''] = /type SpanName =((?:\n {2}\| '[\w.]+')+)/.exec(source) ?? []
  const spans = [...names.matchAll(/'([\w.]+)'/g)].map(([, name = '']) => name)
  t.ok(spans.length > 5)
  t.same([...tableOf(t, 'docs/logs-and-traces.md', 'Spans').keys()].toSorted(), spans.toSorted())
  const [, fields = ''] = /interface SpanFields \{([^}]*)\}/.exec(source) ?? []
  const attributes = [...fields.matchAll(/^ {2}(\w+)\?: /gm)].map(([, name]) => `amo.${name}`)
  t.ok(attributes.length > 5)
  t.same(
    [...tableOf(t, 'docs/logs-and-traces.md', 'Span attributes').keys()].toSorted(),
    [...attributes, 'amo.outcome', 'error.type'].toSorted(),
  )
})

t.test('docs/operations.md: a row for each rule of the history', async (t) => {
  const table = tableOf(t, 'docs/operations.md', 'Verify the history')
  t.same([...table.keys()].toSorted(), Object.keys(RULES).toSorted())
})

t.test('docs/cli.md: a row for each command', async (t) => {
  const table = tableOf(t, 'docs/cli.md', 'Commands')
  t.same([...table.keys()].toSorted(), [...commands.keys()].toSorted())
  onlyThere(t, table.keys(), 'docs/cli.md')
  for (const [name, [, text = '']] of table) {
    for (const option of codeSpansOf(text).filter((code) => code.startsWith('--'))) {
      t.ok(commands.get(name)?.includes(option.split(' ')[0] ?? ''), `${name} ${option}`)
    }
  }
})

t.test('every command line in the documentation exists', async (t) => {
  let count = 0
  for (const { path, text } of pages) {
    if (path === 'CHANGELOG.md') continue
    const lines = [...shellLinesOf(text), ...codeSpansOf(text)]
    for (const line of lines.flatMap((each) => each.split(/ && | \| (?:xargs )?/))) {
      if (!/^(npx |docker .*exec broker )?(amo-broker|npm) /.test(line)) continue
      count += 1
      t.equal(wrongCommand(line), undefined, `${path}: ${line}`)
    }
  }
  t.ok(count > 40)
  t.ok(wrongCommand('npm run nothing'))
  t.ok(wrongCommand('amo-broker accounts nothing'))
  t.ok(wrongCommand('amo-broker check demo --nothing'))
})

t.test('every link leads to an existing file and heading', async (t) => {
  let count = 0
  for (const { path, text } of pages) {
    for (const [, target = ''] of text.matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^https?:/.test(target)) continue
      const [file = '', anchor] = target.split('#')
      const to = file === '' ? path : relative(ROOT, join(ROOT, dirname(path), file))
      count += 1
      if (!t.ok(existsSync(join(ROOT, to)), `${path}: ${target}`) || anchor === undefined) continue
      t.ok(anchorsOf(read(to)).includes(anchor), `${path}: ${target}`)
    }
  }
  t.ok(count > 30)
})

t.test('every file that the documentation names exists', async (t) => {
  for (const { path, text } of pages.filter(isDescription)) {
    for (const code of codeSpansOf(text)) {
      if (!/^(src|test|sql|docs|bench|openapi|\.ci)\/[\w./-]*$/.test(code)) continue
      t.ok(existsSync(join(ROOT, code)), `${path}: ${code}`)
    }
  }
})

/** Excludes the changelog and measurements, which describe earlier code. */
function isDescription({ path }: Page): boolean {
  return path === 'README.md' || path.startsWith('docs/')
}

t.test('docs/architecture.md: a row for each room', async (t) => {
  const rows = rowsOf(sectionOf(read('docs/architecture.md'), 'Rooms'))
  const rooms = readdirSync(join(ROOT, 'src')).map((name) =>
    /\./.test(name) ? name : `src/${name}`,
  )
  t.same(rows.map(([room = '']) => room.replaceAll('`', '')).toSorted(), rooms.toSorted())
})

t.test('docs/refresh-protocol.md: mutants, columns and rules', async (t) => {
  const text = read('docs/refresh-protocol.md')
  const guards = new Set(MUTATIONS.map(({ guard }) => guard))
  const cited = rowsOf(text).flatMap((row) => [...(row.at(-1) ?? '').matchAll(/\*([^*]+)\*/g)])
  t.ok(cited.length > 50)
  for (const [, guard = ''] of cited) t.ok(guards.has(guard), `mutant: ${guard}`)

  const schema = filesOf('sql/*.sql').toSorted().map(read).join('\n')
  for (const [table, heading] of [
    ['amo_tokens', 'Who writes which column of amo_tokens'],
    ['amo_refresh_attempts', 'The columns of amo_refresh_attempts'],
  ] as const) {
    const rows = rowsOf(sectionOf(text, heading))
    const documented = rows.flatMap(([names = '']) => codeSpansOf(names))
    t.same(documented.toSorted(), columnsOf(schema, table).toSorted(), table)
  }

  for (const file of filesOf('src/**/*.ts', 'sql/*.sql')) {
    for (const [id] of commentsOf(read(file)).matchAll(/\b[IRT](?:1[0-2]|[1-9])\b/g)) {
      t.match(text, new RegExp(`\\b${id}\\b`), `${file} cites ${id}`)
    }
  }
})

/** Matches a citation such as `docs/provider.md, section 3`. */
const CITATION =
  /\b(docs\/[\w-]+\.md|provider\.md|provider page)(?:,?(?: sections?| parts?)? (\d+))?/g

function columnsOf(schema: string, table: string): string[] {
  const [, body = ''] =
    new RegExp(`create table ${table} \\(\\n([\\s\\S]*?)\\n\\);`).exec(schema) ?? []
  const made = body.matchAll(/^ {2}(?!primary|unique|check|constraint|foreign)"?(\w+)"? /gm)
  const added = schema.matchAll(new RegExp(`alter table ${table} add column "?(\\w+)"?`, 'g'))
  return [...made, ...added].map(([, column = '']) => column)
}

function commentsOf(text: string): string {
  return [...text.matchAll(/\/\*[\s\S]*?\*\/|\/\/.*|^\s*--.*/gm)].join('\n')
}

t.test('every page and section that a comment cites exists', async (t) => {
  let count = 0
  for (const file of filesOf('src/**/*.ts', 'sql/*.sql', 'test/**/*.ts')) {
    const text = commentsOf(read(file)).replaceAll(/\n\s*(?:\*|\/\/|--) /g, ' ')
    for (const [cited, path = '', section] of text.matchAll(CITATION)) {
      const page = path.startsWith('docs/') ? path : 'docs/provider.md'
      count += 1
      if (!t.ok(existsSync(join(ROOT, page)), `${file}: ${cited}`) || section === undefined)
        continue
      t.match(read(page), new RegExp(`^#+ ${section}\\. `, 'm'), `${file}: ${cited}`)
    }
  }
  t.ok(count > 10)
})

t.test('docs/security.md: every threat names a test that exists', async (t) => {
  const rows = rowsOf(sectionOf(read('docs/security.md'), 'Threat model'))
  const who = new Set(rows.map(([name = '']) => name))
  for (const expected of [
    'stranger',
    'account owner',
    'sibling service with a key',
    'operator',
    'writer of Redis',
    'reader of the database',
    'writer of the database',
    "holder of a replica's disk",
  ]) {
    t.ok(who.has(expected), expected)
  }
  for (const row of rows) {
    const [, file = '', title = ''] =
      /^`(test\/[\w-]+\.test\.ts)` "(.+)"$/.exec(row.at(-1) ?? '') ?? []
    t.ok(title, row.join(' | '))
    t.ok(existsSync(join(ROOT, file)) && read(file).includes(`'${title}'`), `${file}: ${title}`)
  }
})

t.test('mutations: each names tests that exist', (t) => {
  for (const { guard, tests } of MUTATIONS) {
    for (const { file, only } of tests) {
      const titles = topLevelTitlesOf(read(file))
      t.ok(titles.length > 0, `${guard}: ${file} has tests`)
      if (only === undefined) continue
      for (const part of only.source.split('|')) {
        t.ok(
          titles.some((title) => new RegExp(part).test(title)),
          `${guard}: ${file} ${part}`,
        )
      }
    }
  }
  t.end()
})

/**
 * Returns the titles that tap's `--grep` sees first: those of tests outside other tests. A title in
 * a loop stands for every value of its placeholder.
 */
function topLevelTitlesOf(source: string): string[] {
  const found = source.matchAll(/^(?: {2})?t\.test\(\s*(['"`])((?:(?!\1).)+)\1/gm)
  return [...found].flatMap(([, , title = '']) => {
    const [placeholder] = /\$\{\w+\}/.exec(title) ?? []
    if (placeholder === undefined) return [title]
    const name = placeholder.slice(2, -1)
    const [, list = ''] = new RegExp(`for \\(const ${name} of \\[(.+?)\\]`).exec(source) ?? []
    return [...list.matchAll(/'(.+?)'/g)].map(([, value = '']) => title.replace(placeholder, value))
  })
}

/** Allows the provider's own hosts, examples, and linked pages. */
const HOSTS =
  /^([\w-]+\.)?(amocrm\.(ru|com)|kommo\.com|example\.com)$|^(keepachangelog|semver|github)\.(com|org)$|^httpstatus\.es$/

t.test('README.md and docs/: short, wrapped, and of no company', async (t) => {
  t.ok(read('README.md').split('\n').length <= 151, 'the README has at most 150 lines')
  for (const { path, text } of pages.filter(isDescription)) {
    for (const [host] of text.matchAll(
      /\b[a-z0-9-]+(?:\.[a-z0-9-]+)*\.(?:com|ru|app|io|net|org|es)\b/g,
    )) {
      t.match(host, HOSTS, `${path}: ${host}`)
    }
    const prose = text.replaceAll(/^```[\s\S]*?^```/gm, '').split('\n')
    for (const line of prose.filter((line) => line.length > 100)) {
      t.match(line, /^ *\||`[^`]{60,}`|\]\(\S{40,}\)/, `${path}: over 100 columns: ${line}`)
    }
  }
})
