import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { whyStale } from './mutants/mutant.ts'
import { MUTATIONS } from './mutants/mutations.ts'
import {
  findCircle,
  parseSourceFile,
  readSourceFiles,
  roomImports,
  roomOf,
  type SourceFile,
} from './support/import-graph.ts'

const ROOT = join(import.meta.dirname, '..')
const files = readSourceFiles()
/** A longer file contains more than one concept. Files of tests may be longer. */
const MAX_LINES = 250
const LOOSE = ['broker.ts', 'main.ts']
const FASTIFY = /^(fastify|fastify-plugin|@fastify\/.+)$/
const TO_BE_SPLIT = ['test/run.ts', 'test/alerts/faults.ts']
/** Columns of `amo_tokens` that hold the pair, or decide which pair is current. */
const TOKEN_COLUMNS = ['accessToken', 'refreshToken', 'refreshTokenFingerprint', 'generation']
/** Seals each value again under another key; the pair itself stays the same. */
const RESEALS = 'keys/reseal.ts'

t.test('every room imports only rooms below it', async (t) => {
  t.same(findCircle(roomImports(files)), [])
})

t.test('only main.ts and broker.ts lie outside the rooms', async (t) => {
  const loose = files.map(({ path }) => path).filter((path) => !path.includes('/'))
  t.same(loose, LOOSE)
})

t.test('only http/ and sandbox/ import Fastify', async (t) => {
  t.same(files.flatMap(fastifyImports), [])
})

t.test('nothing but main.ts, the OpenAPI command and http/ itself imports http/', async (t) => {
  t.same(importsOf('http', ['http', 'main.ts', 'cli/project/openapi-documents.ts']), [])
})

t.test(
  'contract/ imports only itself, schema types, the error codes and the table of providers',
  async (t) => {
    const contract = files.filter(({ path }) => roomOf(path) === 'contract')
    const imports = contract.flatMap((file) => [
      ...file.imports.filter((target) => roomOf(target) !== 'contract'),
      ...file.packages,
    ])
    t.same([...new Set(imports)].sort(), [
      'lib/errors.ts',
      'lib/type.ts',
      'provider/profile-table.ts',
      'typebox',
    ])
  },
)

t.test('provider/ imports neither the database nor HTTP', async (t) => {
  const upward = files
    .filter(({ path }) => roomOf(path) === 'provider')
    .flatMap(({ path, imports }) =>
      imports
        .filter((target) => !['provider', 'lib', 'vault'].includes(roomOf(target)))
        .map((target) => `${path} -> ${target}`),
    )
  t.same(upward, [])
})

t.test('only pairs/ writes the token columns of amo_tokens', async (t) => {
  t.same(files.flatMap(tokenWrites), [])
})

t.test(`no file but the tests themselves is over ${MAX_LINES} lines`, async (t) => {
  const paths = globSync('{src,bench,test,examples}/**/*.{ts,js,mjs}', { cwd: ROOT })
  const long = paths
    .filter((path) => !path.endsWith('.test.ts') && !path.includes('node_modules'))
    .map((path) => ({ path, lines: linesOf(readFileSync(join(ROOT, path), 'utf8')) }))
    .filter(({ path, lines }) => lines > MAX_LINES && !TO_BE_SPLIT.includes(path))
    .map(({ path, lines }) => `${path}: ${lines}`)
  t.ok(paths.length > 900, `${paths.length} files`)
  t.same(long, [])
})

t.test('every mutation of test/mutants finds the guard that it takes out', async (t) => {
  t.same(
    MUTATIONS.map(whyStale).filter((reason) => reason !== undefined),
    [],
  )
  const edits = [{ file: 'src/main.ts', find: 'no such text', replace: '' }]
  t.match(whyStale({ guard: 'none', edits, tests: [] }), /src\/main\.ts: found 0 times/)
})

t.test('these rules notice a violation', async (t) => {
  const upward = parseSourceFile('lib/probe.ts', "import { a } from '../refresh/send.ts'\n")
  const circle = findCircle(roomImports([...files, upward]))
  t.match(circle.join('\n'), /lib\/probe\.ts -> refresh\/send\.ts/)
  t.equal(linesOf('a\n'.repeat(MAX_LINES + 1)), MAX_LINES + 1)
  const plugin = parseSourceFile('tokens/probe.ts', "import fp from 'fastify-plugin'\n")
  t.same(fastifyImports(plugin), ['tokens/probe.ts -> fastify-plugin'])
  const writesOf = (text: string) =>
    tokenWrites(parseSourceFile('accounts/probe.ts', text.replaceAll('#{', '${'))).length
  for (const write of [
    'sql`update amo_tokens set "accessToken" = x`.execute(db)',
    'sql`UPDATE "amo_tokens" t SET paused = true, "refreshToken" = #{x} where 1 = 1`',
    'sql`update amo_tokens set domain = (select d from x where y), "accessToken" = x`',
    'sql`update amo_tokens set domain = #{sql`x`}, "generation" = 2`.execute(db)',
    'sql`with x as (select 1) update amo_tokens set "refreshTokenFingerprint" = null`',
    'sql`insert into amo_tokens (integration, "accessToken") values (1, 2)`',
    'sql`merge into amo_tokens t using x`',
    'finish(claim, sql`status = 1, "refreshToken" = null`)',
    'sql`update #{sql.table(name)} set x = 1`',
    "db.insertInto('amo_tokens').values({ refreshToken: sealed }).execute()",
    "db.insertInto('amo_tokens').values(row).execute()",
    "db.updateTable('amo_tokens').set({ accessToken }).where('a', '=', 1).execute()",
    "db.updateTable('amo_tokens as t').set(change).execute()",
    'db.updateTable(table).set({ paused }).execute()',
  ]) {
    t.equal(writesOf(write), 1, write)
  }
  for (const harmless of [
    'sql`update amo_tokens set paused = true where generation = 1`.execute(db)',
    'sql`update amo_tokens set domain = null where "refreshTokenFingerprint" = #{x}`',
    "db.updateTable('amo_tokens').set({ paused }).where('generation', '=', 1).execute()",
    "db.selectFrom('amo_tokens').select(['accessToken']).execute()",
  ]) {
    t.equal(writesOf(harmless), 0, harmless)
  }
})

function linesOf(text: string): number {
  return text.split('\n').length - 1
}

function importsOf(room: string, allowed: string[]): string[] {
  return files
    .filter(({ path }) => !allowed.includes(path) && !allowed.includes(roomOf(path)))
    .flatMap(({ path, imports }) =>
      imports.filter((target) => roomOf(target) === room).map((target) => `${path} -> ${target}`),
    )
}

function fastifyImports({ path, packages }: SourceFile): string[] {
  if (['http', 'sandbox'].includes(roomOf(path))) return []
  return packages
    .filter((name) => FASTIFY.test(name))
    .filter((name) => !(roomOf(path) === 'config' && name === '@fastify/env'))
    .map((name) => `${path} -> ${name}`)
}

/** Returns the path once for each statement that may write a token column. */
function tokenWrites({ path, text }: SourceFile): string[] {
  if (roomOf(path) === 'pairs' || path === RESEALS) return []
  const statements = [
    // Every insert sets the access token, because the column has no default.
    ...text.matchAll(/\b(?:insert\s+into|merge\s+into|copy)\s+"?amo_tokens\b/gi),
    ...text.matchAll(/\b(?:insertInto|replaceInto|mergeInto)\(\s*['"`]amo_tokens\b/g),
    // The table is a value, which may be any table.
    ...text.matchAll(/\b(?:update|insert\s+into|merge\s+into)\s+\$\{/gi),
    ...text.matchAll(/\b(?:updateTable|insertInto|mergeInto)\(\s*[^'"`\s)]/g),
    ...fragmentsOf(text),
    ...updatesOf(text, /\bupdate\s+"?amo_tokens\b/gi, setsInSql),
    ...updatesOf(text, /\bupdateTable\(\s*['"`]amo_tokens\b/g, setsInKysely),
  ]
  return statements.map(() => path)
}

/** Returns fragments for a SET list that name a token column: no statement and no condition. */
function fragmentsOf(text: string): string[] {
  return [...text.matchAll(/\bsql(?:<[^`]*?>)?`([^`]*)`/g)]
    .map(([, fragment = '']) => fragment)
    .filter((fragment) => !/\b(?:select|update|insert|delete|where|and|or|with)\b/i.test(fragment))
    .filter((fragment) => /(?:^|,)\s*"?(?:accessToken|refreshToken\w*)"?\s*=/.test(fragment))
}

function updatesOf(text: string, start: RegExp, sets: (statement: string) => boolean): string[] {
  return [...text.matchAll(start)]
    .map(({ index }) => text.slice(index, endOf(text, index)))
    .filter(sets)
}

/** A statement ends where it is executed, or where the next one begins. */
function endOf(text: string, start: number): number {
  const rest = text.slice(start + 1)
  const end = rest.search(/\.execute|\bupdate\s+"?amo_|\bupdateTable\(/)
  return end < 0 ? text.length : start + 1 + end
}

/**
 * Returns whether the SET list of an SQL update names a token column. `fragmentsOf` finds fragments
 * in it.
 */
function setsInSql(statement: string): boolean {
  let set = statement.slice(statement.search(/\bset\b/i) + 'set'.length)
  // Subqueries and interpolations may contain a WHERE of their own.
  for (let before = ''; before !== set; ) {
    before = set
    set = set.replace(/\$\{[^{}]*\}|\([^()]*\)/g, ' ')
  }
  const [assigned = ''] = set.split(/\b(?:where|from|returning)\b/i)
  return TOKEN_COLUMNS.some((column) => new RegExp(`"?\\b${column}\\b"?\\s*=`).test(assigned))
}

/** Returns whether a Kysely update sets a token column, or sets a value that may contain one. */
function setsInKysely(statement: string): boolean {
  const sets = [...statement.matchAll(/\.set\(\s*([\s\S])/g)]
  if (sets.some(([, first]) => first !== '{')) return true
  const objects = [...statement.matchAll(/\.set\(([\s\S]*?)\)\s*(?:\.|$)/g)]
  return objects.some(([, object = '']) =>
    TOKEN_COLUMNS.some((column) => new RegExp(`\\b${column}\\b`).test(object)),
  )
}
