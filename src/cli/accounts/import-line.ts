import { setTimeout as delay } from 'node:timers/promises'
import type { ImportLine } from '../../onboarding/import-file.ts'
import { requestBroker } from '../common/broker-api.ts'
import { Failure } from '../common/failure.ts'
import type { Account } from './account-view.ts'

const CREATED = 201
/** Attempts per line while the broker answers with Retry-After. */
const MAX_TRIES = 3
/** A longer Retry-After fails the line. */
const MAX_PAUSE_SECONDS = 60

const REQUIRED = ['integration', 'domain', 'access_token']

export interface ImportedLine {
  line: number
  integration: string
  /** The domain that the provider confirmed, or the one in the file if it confirmed none. */
  domain: string
  result: 'imported' | 'replaced' | 'already there' | 'not replaced' | 'failed'
  account_id?: number
  code?: string
  problem?: string
  remedy?: string
}

export interface LineOptions {
  /** The integration of lines that name none. */
  integration?: string | undefined
  shadow?: true | undefined
  replace?: true | undefined
}

/** Tells whether the broker stores the pair of the line now. */
export function isStored({ result }: ImportedLine): boolean {
  return result !== 'failed' && result !== 'not replaced'
}

/**
 * Imports one line. The broker decides by the pair itself and by what the provider says of it,
 * whatever domain the line names. Throws `Failure` where every other line would fail the same way.
 */
export async function importLine(
  { line, fields }: ImportLine,
  options: LineOptions,
): Promise<ImportedLine> {
  const given: Record<string, string> = { integration: options.integration ?? '', ...fields }
  const { integration = '', domain = '' } = given
  const at = { line, integration, domain }
  const missing = REQUIRED.find((name) => !given[name])
  if (missing !== undefined) {
    const problem = `${missing} is missing`
    return { ...at, result: 'failed', code: 'bad_request', problem, remedy: 'Add it to the line.' }
  }
  const body = { ...given, ...(options.shadow ? { shadow: true } : {}) }
  try {
    const { account, result } = await store(body, options.replace)
    const done = { ...at, result, account_id: account.account_id }
    return { ...done, domain: account.domain ?? domain, ...warningOf(domain, account) }
  } catch (error) {
    if (!(error instanceof Failure)) throw error
    return { ...at, ...explain(error) }
  }
}

interface Stored {
  account: Account
  result: ImportedLine['result']
}

async function store(body: object, replace: true | undefined): Promise<Stored> {
  try {
    const { status, body: account } = await send(body, {})
    return { account, result: status === CREATED ? 'imported' : 'already there' }
  } catch (error) {
    const generation = error instanceof Failure ? error.extras.generation : undefined
    if (!replace || generation === undefined) throw error
    const { body: account } = await send(body, { 'if-match': `"${generation}"` })
    return { account, result: 'replaced' }
  }
}

/** Sends one import, and sends it again while the broker asks for patience. */
async function send(body: object, headers: Record<string, string>) {
  for (let tried = 1; ; tried += 1) {
    try {
      return await requestBroker<Account>('POST', '/accounts/import', { body, headers })
    } catch (error) {
      const seconds = error instanceof Failure ? error.extras.retryAfterSeconds : undefined
      if (seconds === undefined || seconds > MAX_PAUSE_SECONDS || tried === MAX_TRIES) throw error
      await delay(seconds * 1000)
    }
  }
}

/** Warns about a line whose domain is not the account's, and about an account that needs help. */
function warningOf(named: string, account: Account): { problem?: string; remedy?: string } {
  const { domain, status, last_error } = account
  const name = named.toLowerCase()
  if (domain !== null && domain !== name && !domain.startsWith(`${name}.`)) {
    return {
      problem: `the file names ${named}, but the provider says that the tokens belong to ${domain}`,
      remedy: 'Correct the domain in the file.',
    }
  }
  if (status === 'active') return {}
  const why = last_error === null ? '' : `: ${last_error.problem}`
  return { problem: `it is ${status}${why}`, remedy: 'If you have a newer pair, import that one.' }
}

function explain(error: Failure): Pick<ImportedLine, 'result' | 'code' | 'problem' | 'remedy'> {
  const { code, remedy } = error.extras
  // The broker cannot be reached or rejects the caller: the rest of the file would fail, too.
  if (code === undefined || code === 'unauthorized' || code === 'forbidden') throw error
  if (code === 'account_exists') {
    return {
      result: 'not replaced',
      code,
      problem: 'the broker stores a different pair of this account',
      remedy:
        'Nothing to do if the stored pair is the newer one. To replace it, add --replace. ' +
        'To end the shadow of an imported account, run amo-broker accounts take-over.',
    }
  }
  const failed = { result: 'failed' as const, code, problem: error.message }
  return remedy === undefined ? failed : { ...failed, remedy }
}
