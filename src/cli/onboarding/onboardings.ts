import type { Command } from '@commander-js/extra-typings'
import type { Static } from 'typebox'
import type { OnboardingSchema } from '../../contract/onboarding.ts'
import { callBroker } from '../common/broker-api.ts'
import { JSON_FLAG, wholeNumber } from '../common/options.ts'
import { printJson, printTable, relative, type Table } from '../common/output.ts'

type Onboarding = Static<typeof OnboardingSchema>

const TABLE: Table<Onboarding> = {
  columns: [
    { title: 'WHEN', of: ({ received_at }) => relative(received_at) },
    { title: 'BY', of: ({ origin }) => origin },
    { title: 'INTEGRATION', of: ({ integration }) => integration },
    { title: 'ACCOUNT', of: ({ domain, host }) => domain ?? host },
    { title: 'OUTCOME', of: ({ outcome }) => outcome ?? 'in progress' },
  ],
  empty: 'no onboarding yet',
  note: ({ remedy }) => remedy,
}

/** Defines `onboardings`. */
export function defineOnboardings(command: Command): void {
  command
    .option('--limit <rows>', 'maximum number of rows', wholeNumber, 100)
    .option(...JSON_FLAG)
    .addHelpText(
      'after',
      `
The newest comes first, failed ones with a remedy. Of the consents that were
refused before their code was stored, the last one of each link is listed.
BY says what started it: consent (a link or button), install (inside the CRM),
exchange (an API key), manual (exchange-code) or hook (a button that creates an
integration).

Example:
  $ amo-broker onboardings --limit 20`,
    )
    .action(async ({ limit, json }) => {
      const all = await readOnboardings(limit)
      if (json) printJson(all)
      else printTable(all, TABLE)
    })
}

async function readOnboardings(limit: number): Promise<Onboarding[]> {
  const all: Onboarding[] = []
  let before: string | undefined
  do {
    const page = await callBroker<{ onboardings: Onboarding[]; next: string | null }>(
      'GET',
      '/onboardings',
      { query: { before } },
    )
    all.push(...page.onboardings)
    before = page.next ?? undefined
  } while (before !== undefined && all.length < limit)
  return all.slice(0, limit)
}
