import { readFileSync } from 'node:fs'
import type { ConnectionOptions } from 'node:tls'
import type { Secret } from '../vault/secret.ts'

/** The parameters of a URL that decide about TLS. The driver reads some of them differently. */
const TLS_PARAMETERS = ['ssl', 'sslmode', 'sslrootcert', 'sslcert', 'sslkey', 'uselibpqcompat']
const MODES = ['disable', 'require', 'verify-ca', 'verify-full', 'no-verify'] as const
const LINE = 'write ?sslmode=disable, require, verify-ca or verify-full'

type Mode = (typeof MODES)[number]

interface ConnectionSettings {
  connectionString: string
  ssl: false | ConnectionOptions
}

/**
 * Returns the driver's settings for the URL of a database. `sslmode` means what it means to libpq:
 * `require` encrypts and checks no certificate unless `sslrootcert` names an authority, `verify-ca`
 * checks the certificate, `verify-full` checks the host name too. Throws when a file of the URL
 * cannot be read.
 */
export function connectionSettings(url: Secret): ConnectionSettings {
  const { rest, parameters } = split(url.reveal())
  const { mode } = readMode(parameters)
  return { connectionString: rest, ssl: tlsOf(mode ?? 'disable', parameters) }
}

/** Returns what is wrong with the TLS parameters of a database URL, or undefined. */
export function findTlsProblem(url: string): string | undefined {
  const { parameters } = split(url)
  const { problem } = readMode(parameters)
  if (problem !== undefined) return problem
  for (const name of ['sslrootcert', 'sslcert', 'sslkey']) {
    const file = parameters.get(name)
    if (!file || file === 'system') continue
    try {
      readFileSync(file)
    } catch (error) {
      return `names a file in ${name} that cannot be read: ${(error as NodeJS.ErrnoException).code}`
    }
  }
  return undefined
}

function readMode(parameters: URLSearchParams): { mode?: Mode; problem?: string } {
  const text = parameters.get('sslmode')
  const ssl = parameters.get('ssl')
  if (text === null && ssl !== null) {
    if (['true', '1'].includes(ssl)) return { mode: 'verify-full' }
    if (['false', '0'].includes(ssl)) return { mode: 'disable' }
    return { problem: `has ssl=${ssl.slice(0, 20)}, which is not supported: ${LINE}` }
  }
  if (text === null) return {}
  const mode = MODES.find((each) => each === text)
  if (mode !== undefined) return { mode }
  if (text === 'prefer' || text === 'allow') {
    return {
      problem: `has sslmode=${text}, which sends the password in plain text to a server without TLS: ${LINE}`,
    }
  }
  return { problem: `has an sslmode that does not exist: ${LINE}` }
}

function tlsOf(mode: Mode, parameters: URLSearchParams): false | ConnectionOptions {
  if (mode === 'disable') return false
  const read = (name: string) => {
    const file = parameters.get(name)
    return file && file !== 'system' ? readFileSync(file, 'utf8') : undefined
  }
  const [ca, cert, key] = [read('sslrootcert'), read('sslcert'), read('sslkey')]
  const isChecked = mode !== 'no-verify' && (mode !== 'require' || ca !== undefined)
  return {
    rejectUnauthorized: isChecked,
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
    ...(mode === 'verify-full' ? {} : { checkServerIdentity: () => undefined }),
  }
}

/** Splits off the TLS parameters. The rest is left to the driver as it is. */
function split(url: string): { rest: string; parameters: URLSearchParams } {
  const at = url.indexOf('?')
  if (at < 0) return { rest: url, parameters: new URLSearchParams() }
  const parameters = new URLSearchParams(url.slice(at + 1))
  const others = new URLSearchParams(parameters)
  for (const name of TLS_PARAMETERS) others.delete(name)
  const query = others.size === 0 ? '' : `?${others}`
  return { rest: url.slice(0, at) + query, parameters }
}
