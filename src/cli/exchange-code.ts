import { setTimeout as delay } from 'node:timers/promises'
import type { Command } from '@commander-js/extra-typings'
import type { Static } from 'typebox'
import type { OnboardingSchema } from '../onboarding/schemas.ts'
import { callBroker } from './api.ts'
import { Failure, UsageError } from './failure.ts'
import { JSON_FLAG } from './options.ts'
import { printJson } from './output.ts'
import { readSecret } from './secret-input.ts'

type Onboarding = Static<typeof OnboardingSchema>

const LOOK_EVERY_MS = 1_000
/** A code lives for 20 minutes; what is not settled by then never is. */
const LIMIT_MS = 20 * 60_000

/** `exchange-code`: the Kommo guide's step 3. */
export function exchangeCodeCommand(program: Command): void {
  program
    .command('exchange-code')
    .description('exchanges an authorization code that you have; it works once, for 20 minutes')
    .requiredOption('--integration <name>', 'whose redirect URI it came to')
    .option('--domain <domain>', 'of the account, such as kwid.kommo.com')
    .option(...JSON_FLAG)
    .addHelpText(
      'after',
      `
The code is asked for, or read from standard input or AUTHORIZATION_CODE. The whole address that the browser was sent to will
do as well; where it has a referer, --domain may be left out.

Example:
  $ amo-broker exchange-code --integration kommo --domain kwid.kommo.com`,
    )
    .action(async ({ integration, domain, json }) => {
      const given = await readSecret({ variable: 'AUTHORIZATION_CODE', label: 'Code or address' })
      const { code, referer } = readCode(given)
      const account = domain ?? referer
      if (account === undefined) throw new UsageError('--domain is missing: which account is it?')
      const body = { integration, domain: account, code }
      const path = '/accounts/exchange-code'
      showOnboarding(await settled(await callBroker<Onboarding>('POST', path, { body })), json)
    })
}

/** The code itself, or the address that it stands in. Throws `Failure`, which tells nothing of it. */
export function readCode(given: string): { code: string; referer: string | undefined } {
  if (!/^https?:\/\//.test(given)) return { code: given, referer: undefined }
  const query = URL.parse(given)?.searchParams
  const code = query?.get('code')
  if (code)
    return { code, referer: query?.get('referer')?.replace(/^https?:\/\//, '') ?? undefined }
  const error = query?.get('error')
  throw new Failure(`the address carries no code${error ? `, but the error ${error}` : ''}`, {
    remedy: 'Open the consent page again, and choose "Allow" as an administrator.',
  })
}

async function settled(first: Onboarding): Promise<Onboarding> {
  let onboarding = first
  for (const endMs = performance.now() + LIMIT_MS; onboarding.outcome === null; ) {
    if (performance.now() > endMs) throw new Failure('it is still under way')
    await delay(LOOK_EVERY_MS)
    onboarding = await callBroker<Onboarding>('GET', `/onboardings/${onboarding.id}`)
  }
  return onboarding
}

/** How it ended. Throws `Failure` when the account was not connected. */
export function showOnboarding(onboarding: Onboarding, json: true | undefined): void {
  const { outcome, domain, account_id, problem, remedy } = onboarding
  const isFine = outcome === 'connected' || outcome === 'superseded' || outcome === 'pending'
  if (json) printJson(onboarding)
  else if (isFine) {
    console.log(`${domain ?? 'The account'} is connected: account ${account_id}.`)
    if (problem !== undefined) console.log(`${problem} ${remedy ?? ''}`.trim())
  }
  if (!isFine) throw new Failure(problem ?? `it ended as ${outcome}`, { remedy })
}
