import { setTimeout as delay } from 'node:timers/promises'
import type { Command } from '@commander-js/extra-typings'
import type { Static } from 'typebox'
import type { CheckSchema } from '../../contract/accounts.ts'
import { accountPath, callBroker } from '../common/broker-api.ts'
import { Failure } from '../common/failure.ts'
import { ACCOUNT, INTEGRATION_OF_ACCOUNT, JSON_FLAG } from '../common/options.ts'
import {
  endProgress,
  mark,
  printable,
  printJson,
  printRemedy,
  showProgress,
} from '../common/output.ts'

type Check = Static<typeof CheckSchema>
type Line = Check['checks'][number]

const NAME_WIDTH = 13
const STATUS_WIDTH = 4
const MS_WIDTH = 8

const TOO_MANY_REQUESTS = 429
/** The provider counts requests per second; a check is five of them. */
const PAUSE_MS = 2_000
const MAX_PAUSE_MS = 30_000
const MAX_TRIES = 4

/** Defines `check`, and `accounts check`, which is the same. */
export function defineCheck(command: Command): void {
  command
    .argument(...ACCOUNT)
    .option(...INTEGRATION_OF_ACCOUNT)
    .option(...JSON_FLAG)
    .addHelpText(
      'after',
      `
Reads the account, its users, pipelines and leads, and probes the refresh token.
Changes nothing and spends nothing. Waits a few seconds if the provider answers
429; a call that could not be made is shown as "not tried".

Exit codes: 0 the token works; 1 it does not, or it could not be tried.

Example:
  $ amo-broker check acme`,
    )
    .action(async (account, { integration, json }) => {
      const check = await checkPatiently(account, integration)
      const isComplete = !check.checks.some(isUntried)
      const works = check.checks.every((line) => line.ok || isUntried(line))
      const isTried = check.checks.some((line) => line.name === 'account' && !isUntried(line))
      if (!works || !isTried) process.exitCode = 1
      if (json) return printJson(check)
      show(check)
      console.log(works ? summaryOf(isTried, isComplete) : 'Not everything works: see above.')
    })
}

/** Checks again after a pause as long as the provider or the broker answers 429. */
async function checkPatiently(account: string, integration: string | undefined): Promise<Check> {
  const path = accountPath(account, 'check')
  for (let tried = 1; ; tried += 1) {
    let pauseMs = PAUSE_MS
    try {
      const check = await callBroker<Check>('POST', path, { query: { integration } })
      if (!check.checks.some(isUntried) || tried === MAX_TRIES) return check
    } catch (error) {
      if (!(error instanceof Failure) || error.extras.code !== 'too_many_requests') throw error
      pauseMs = (error.extras.retryAfterSeconds ?? 0) * 1000 || PAUSE_MS
      if (tried === MAX_TRIES || pauseMs > MAX_PAUSE_MS) throw error
    }
    showProgress('too many requests at the provider, waiting')
    await delay(pauseMs)
    endProgress()
  }
}

/** Returns whether the provider refused a call without reading the token. */
function isUntried({ status }: Line): boolean {
  return status === TOO_MANY_REQUESTS
}

function summaryOf(isTried: boolean, isComplete: boolean): string {
  if (isComplete) return 'The token works.'
  if (isTried) return 'The token works. Not everything was tried: run it again in a minute.'
  return 'The token was not tried: run it again in a minute.'
}

function show(check: Check): void {
  console.log(`${check.domain ?? check.account_id} (${check.account_id}), ${check.api_url}`)
  for (const line of check.checks) {
    const status = String(line.status ?? '-').padStart(STATUS_WIDTH)
    const ms = `${line.ms} ms`.padStart(MS_WIDTH)
    const note = isUntried(line) ? 'not tried: too many requests at the provider' : line.note
    const found = [countOf(line), note].filter((each) => each !== undefined).join('  ')
    const text = `${line.name.padEnd(NAME_WIDTH)} ${status} ${ms}  ${printable(found || '')}`
    const kind = isUntried(line) ? 'skipped' : line.ok ? 'ok' : 'fail'
    console.log(`${mark(kind)} ${text}`.trimEnd())
    if (line.remedy !== undefined && !isUntried(line)) printRemedy(line.remedy)
  }
}

/** Leads are counted on the first page only, because the provider gives no total. */
function countOf({ count, more }: Line): string | undefined {
  if (count === undefined) return undefined
  return more ? `${count} and more` : String(count)
}
