import { mkdtempSync, readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { buildProgram } from '../src/cli/program.ts'
import { startBroker } from './support/broker.ts'
import { runCli } from './support/cli.ts'
import { createDatabase, redisUrl } from './support/database.ts'

// What is loaded is counted, because milliseconds depend on the machine: a module costs about a
// quarter of one.

const PRELOAD = join(import.meta.dirname, 'support/list-modules.ts')

/** Packages that few commands and few requests need. */
const ON_DEMAND = [
  '@aws-sdk/client-s3',
  '@electric-sql/pglite',
  '@fastify/static',
  '@fastify/swagger',
  '@fastify/swagger-ui',
  'csv-parse',
  'openid-client',
  'qr',
  'typebox',
  'yaml',
]

function preloading() {
  const file = join(mkdtempSync(join(tmpdir(), 'amo-test-')), 'modules')
  return { file, env: { NODE_OPTIONS: `--import ${PRELOAD}`, MODULES_FILE: file } }
}

/** Sorts loaded files into those of `src` and the packages of the others. */
function readModules(file: string) {
  const files = readFileSync(file, 'utf8').split('\n')
  const isSource = (each: string) => !each.includes('/node_modules/') && each.includes('/src/')
  const packages = files.map((each) => /node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(each)?.[1])
  return {
    files,
    sources: files.filter(isSource).map((each) => each.split('/src/').at(-1) ?? ''),
    packages: [...new Set(packages.filter((each) => each !== undefined))].sort(),
  }
}

async function modulesOf(args: string[], settings: Record<string, string> = {}) {
  const { file, env } = preloading()
  const { code } = await runCli(args, { ...env, ...settings })
  return { code, ...readModules(file) }
}

t.test('amo-broker --help loads no command', async (t) => {
  const { sources } = await modulesOf(['--help'])
  t.ok(sources.includes('cli/program.ts'))
  t.same(
    sources.filter(
      (file) => !/^(?:cli\/(?:main|program|common\/\w+)|lib\/compile-cache)\.ts$/.test(file),
    ),
    [],
  )
})

t.test('each command loads its own code, no database and no server', async (t) => {
  const program = await buildProgram(() => false)
  const names = program.commands.map((command) => command.name())
  t.ok(names.length > 20, `${names.length} commands`)
  for (const name of names) {
    const { code, files, packages } = await modulesOf([name, '--help'])
    t.equal(code, 0, name)
    t.same(packages, ['@commander-js/extra-typings', 'commander'], name)
    t.ok(files.length < 45, `${name}: ${files.length} modules`)
  }
})

t.test('commands that read the database load no server', async (t) => {
  const settings = {
    DATABASE_URL: 'postgres://nobody@127.0.0.1:1/none',
    DEPLOYMENT_ID: 'modules',
    ENCRYPTION_KEYS: `k1:${Buffer.alloc(32, 1).toString('base64')}`,
    OPERATOR_KEY: 'a-key-of-this-test-that-is-long-enough',
  }
  for (const name of ['migrate', 'adopt']) {
    const { code, files, packages } = await modulesOf([name], settings)
    t.equal(code, 1, name)
    t.ok(packages.includes('pg'), `${name} reached the database`)
    const others = [...ON_DEMAND, '@prometheus-io/client', 'fastify', 'undici']
    t.same(
      packages.filter((each) => others.includes(each)),
      [],
      name,
    )
    t.ok(files.length < 600, `${name}: ${files.length} modules`)
  }
})

t.test('a broker is ready without what only some requests need', async (t) => {
  const { file, env } = preloading()
  const broker = await startBroker(t, {
    databaseUrl: await createDatabase(t),
    redis: redisUrl(),
    deploymentId: 'modules',
    ownProcess: true,
    env,
  })
  await broker.stop()
  const { files, packages } = readModules(file)
  t.same(
    packages.filter((each) => ON_DEMAND.includes(each)),
    [],
  )
  t.ok(files.length < 1_500, `${files.length} modules`)
})
