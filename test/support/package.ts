import { execFileSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import type { TeardownScope } from './teardown-scope.ts'

const ROOT = join(import.meta.dirname, '..', '..')

/** An empty project with one of this repository's packages in its node_modules. */
export interface InstalledPackage {
  folder: string
  /** The installed package. */
  packageFolder: string
  manifest: { name: string; version: string; dependencies?: Record<string, string> }
}

/** Variables without which npm may not reach its registry: authorities and proxies. */
const NETWORK = /^(NODE_EXTRA_CA_CERTS|SSL_CERT_(FILE|DIR)|(HTTPS?|NO)_PROXY)$/i

/**
 * Returns a command that runs without this process's environment, because the test runner adds its
 * loaders to the environment of each child.
 */
export function plainly(
  command: string,
  args: string[],
  env: Record<string, string> = {},
): [string, string[]] {
  const { HOME = '', PATH = '' } = process.env
  const network = Object.entries(process.env).filter(([name]) => NETWORK.test(name))
  const path = `${join(ROOT, 'node_modules', '.bin')}:${PATH}`
  const all = { HOME, PATH: path, ...Object.fromEntries(network), ...env }
  const settings = Object.entries(all).map(([name, value]) => `${name}=${value}`)
  return ['env', ['-i', ...settings, command, ...args]]
}

/**
 * Packs a package with `npm pack` and unpacks the tarball into the node_modules of an empty folder.
 * Its dependencies are links to those of this repository, because a test installs nothing.
 */
export function installPacked(t: TeardownScope, source: string): InstalledPackage {
  const folder = mkdtempSync(join(tmpdir(), 'amo-package-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  // In a copy, because test files that pack the same package run at the same time.
  const copy = join(folder, 'repository')
  cpSync(join(ROOT, 'src'), join(copy, 'src'), { recursive: true })
  for (const file of ['tsconfig.json', 'package.json']) cpSync(join(ROOT, file), join(copy, file))
  symlinkSync(join(ROOT, 'node_modules'), join(copy, 'node_modules'))
  const packed = execFileSync(...plainly('npm', ['pack', '--json', '--pack-destination', folder]), {
    cwd: join(copy, source),
    stdio: ['ignore', 'pipe', 'ignore'],
  }).toString()
  const [{ filename, name }] = JSON.parse(packed.slice(packed.indexOf('[')))
  const packageFolder = join(folder, 'node_modules', name)
  mkdirSync(packageFolder, { recursive: true })
  execFileSync('tar', ['-xzf', join(folder, filename), '-C', packageFolder, '--strip-components=1'])
  const manifest = JSON.parse(readFileSync(join(packageFolder, 'package.json'), 'utf8'))
  for (const dependency of Object.keys(manifest.dependencies ?? {})) {
    const link = join(folder, 'node_modules', dependency)
    mkdirSync(dirname(link), { recursive: true })
    symlinkSync(join(ROOT, 'node_modules', dependency), link)
  }
  return { folder, packageFolder, manifest }
}
