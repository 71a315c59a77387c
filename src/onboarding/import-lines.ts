import { setTimeout as delay } from 'node:timers/promises'
import type { Act } from '../audit/act.ts'
import { BrokerError } from '../lib/errors.ts'
import { Secret } from '../vault/secret.ts'
import { type ImportDependencies, importAccount } from './import.ts'
import type { ImportLine } from './import-file.ts'

/** Each line is two calls at the provider, which allows 7 per second for all services together. */
const LINE_PAUSE_MS = 500
/** Attempts per line while the provider cannot be asked. */
const MAX_TRIES = 3
/** A longer Retry-After fails the line. */
const MAX_PAUSE_SECONDS = 10
const REQUIRED = ['integration', 'domain', 'access_token'] as const

export interface LineOptions {
  /** The integration of lines that name none. */
  integration: string | undefined
  /** Serves the pairs without rotating them. */
  shadow: boolean
  /** Replaces a different pair that the broker stores. */
  replace: boolean
}

/** What became of a line. `account`: the id that the provider confirmed. */
export interface LineReport {
  line: number
  integration: string
  domain: string
  result: 'imported' | 'replaced' | 'already there' | 'not replaced' | 'failed'
  account?: number
  problem?: string
  remedy?: string
}

/**
 * Imports the lines of a file one after the other and reports each. A line that is stored already
 * stays as it is, so the same file can be imported again. `newAct` begins the act of a line.
 */
export async function* importLines(
  dependencies: ImportDependencies,
  lines: readonly ImportLine[],
  options: LineOptions,
  newAct: () => Act,
): AsyncGenerator<LineReport> {
  for (const [index, line] of lines.entries()) {
    if (index > 0) await delay(LINE_PAUSE_MS)
    yield await importLine(dependencies, line, options, newAct)
  }
}

async function importLine(
  dependencies: ImportDependencies,
  { line, fields }: ImportLine,
  options: LineOptions,
  newAct: () => Act,
): Promise<LineReport> {
  const given: Record<string, string> = { integration: options.integration ?? '', ...fields }
  const { integration = '', domain = '' } = given
  const at = { line, integration, domain }
  const missing = REQUIRED.find((name) => !given[name])
  if (missing !== undefined) {
    const remedy = 'Add it to the line.'
    return { ...at, result: 'failed', problem: `${missing} is missing.`, remedy }
  }
  try {
    const store = (ifGeneration?: number) =>
      tryImport(dependencies, given, options.shadow, ifGeneration, newAct)
    const { key, result } = await store().catch((error) => {
      const generation = error instanceof BrokerError ? error.members.generation : undefined
      if (!options.replace || typeof generation !== 'number') throw error
      return store(generation)
    })
    const word = RESULTS[result] ?? 'imported'
    return { ...at, result: word, account: key.accountId }
  } catch (error) {
    return { ...at, ...explain(error) }
  }
}

const RESULTS: Partial<Record<string, LineReport['result']>> = {
  created: 'imported',
  replaced: 'replaced',
  unchanged: 'already there',
}

/** Imports a line, and tries again while the provider cannot be asked. */
async function tryImport(
  dependencies: ImportDependencies,
  fields: Record<string, string>,
  shadow: boolean,
  ifGeneration: number | undefined,
  newAct: () => Act,
) {
  const { integration = '', domain = '', access_token = '', refresh_token, expires_at } = fields
  const order = {
    integration,
    domain: domain.toLowerCase(),
    accessToken: new Secret(access_token),
    refreshToken: refresh_token === undefined ? undefined : new Secret(refresh_token),
    expiresAt: readTime(expires_at),
    shadow,
    ifGeneration,
  }
  for (let tried = 1; ; tried += 1) {
    try {
      return await importAccount(dependencies, order, newAct())
    } catch (error) {
      const seconds = error instanceof BrokerError ? error.retryAfterSeconds : undefined
      if (seconds === undefined || seconds > MAX_PAUSE_SECONDS || tried === MAX_TRIES) throw error
      await delay(seconds * 1000)
    }
  }
}

function readTime(text: string | undefined): Date | undefined {
  if (text === undefined) return undefined
  const time = new Date(text)
  if (!Number.isNaN(time.getTime())) return time
  throw new BrokerError('bad_request', 'expires_at: it is no date and time.')
}

function explain(error: unknown): Pick<LineReport, 'result' | 'problem' | 'remedy'> {
  if (!(error instanceof BrokerError)) {
    return {
      result: 'failed',
      problem: 'The broker failed.',
      remedy: 'Look at its log, and import the file again.',
    }
  }
  if (error.code === 'account_exists') {
    return {
      result: 'not replaced',
      problem: 'The broker stores a different pair of this account.',
      remedy: 'Nothing to do if the stored pair is the newer one. Otherwise import with “Replace”.',
    }
  }
  return { result: 'failed', problem: error.message }
}
