import { setTimeout as delay } from 'node:timers/promises'
import type { Command } from '@commander-js/extra-typings'
import type { Static } from 'typebox'
import type { OnboardingSchema } from '../../contract/onboarding.ts'
import { callBroker } from '../common/broker-api.ts'
import { Failure, UsageError } from '../common/failure.ts'
import { JSON_FLAG } from '../common/options.ts'
import { printJson, printRemedy } from '../common/output.ts'
import { readSecret } from '../common/secret-input.ts'

type Onboarding = Static<typeof OnboardingSchema>

const POLL_MS = 1_000
/** A code lives for 20 minutes. An exchange that has not ended by then never will. */
const LIMIT_MS = 20 * 60_000

/** Defines `exchange-code`, step 3 of the Kommo guide. */
export function defineExchangeCode(command: Command): void {
  command
    .requiredOption('--integration <name>', 'the integration whose redirect URI received it')
    .option('--domain <domain>', 'domain of the account, such as acme.kommo.com')
    .option(...JSON_FLAG)
    .addHelpText(
      'after',
      `
A code works once, for 20 minutes. It is read from a prompt, from standard input
or from AUTHORIZATION_CODE. The whole URL that the browser was sent to works,
too; if it contains a referer, --domain can be left out.

Example:
  $ amo-broker exchange-code --integration kommo --domain acme.kommo.com`,
    )
    .action(async ({ integration, domain, json }) => {
      const given = await readSecret({ variable: 'AUTHORIZATION_CODE', label: 'Code or URL' })
      const { code, referer } = readCode(given)
      const account = domain ?? referer
      if (account === undefined) throw new UsageError('--domain is missing: which account is it?')
      const body = { integration, domain: account, code }
      const path = '/accounts/exchange-code'
      showOutcome(await waitForEnd(await callBroker<Onboarding>('POST', path, { body })), json)
    })
}

/** Returns the code, or reads it from a URL. Throws `Failure`, which contains no part of it. */
function readCode(given: string): { code: string; referer: string | undefined } {
  if (!/^https?:\/\//.test(given)) return { code: given, referer: undefined }
  const query = URL.parse(given)?.searchParams
  const code = query?.get('code')
  if (code) {
    return { code, referer: query?.get('referer')?.replace(/^https?:\/\//, '') ?? undefined }
  }
  const error = query?.get('error')
  throw new Failure(`the URL contains no code${error ? `, but the error ${error}` : ''}`, {
    remedy: 'Open the consent page again and choose "Allow" as an administrator.',
  })
}

async function waitForEnd(first: Onboarding): Promise<Onboarding> {
  let onboarding = first
  for (const endMs = performance.now() + LIMIT_MS; onboarding.outcome === null; ) {
    if (performance.now() > endMs) throw new Failure('the exchange is still in progress')
    await delay(POLL_MS)
    onboarding = await callBroker<Onboarding>('GET', `/onboardings/${onboarding.id}`)
  }
  return onboarding
}

/** Prints the outcome. Throws `Failure` if the account was not connected. */
function showOutcome(onboarding: Onboarding, json: true | undefined): void {
  const { outcome, domain, account_id, problem, remedy } = onboarding
  const isFine = outcome === 'connected' || outcome === 'superseded' || outcome === 'pending'
  if (json) printJson(onboarding)
  else if (isFine) {
    console.log(`${domain ?? 'The account'} is connected: account ${account_id}.`)
    if (problem !== undefined) console.log(problem)
    if (remedy !== undefined) printRemedy(remedy)
  }
  if (!isFine) throw new Failure(problem ?? `the outcome is ${outcome}`, { remedy })
}
