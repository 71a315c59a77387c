import type { Static } from 'typebox'
import type { IntegrationSchema } from '../../contract/integrations.ts'
import { UsageError } from '../common/failure.ts'
import { printJson, printTable, type Table } from '../common/output.ts'

export type Integration = Static<typeof IntegrationSchema>

const TABLE: Table<Integration> = {
  columns: [
    { title: 'INTEGRATION', of: ({ name }) => name },
    { title: 'PROVIDER', of: ({ provider, sandbox_origin }) => sandbox_origin ?? provider },
    { title: 'STATE', of: ({ state }) => state },
    { title: 'PACE', of: ({ pace_per_second }) => `${pace_per_second}/s` },
    {
      title: 'BREAKERS',
      of: ({ breakers }) => breakers.map(({ reason }) => reason).join(', ') || null,
    },
  ],
  empty: 'no integrations',
  note: ({ state_reason, last_error }) => state_reason ?? last_error?.remedy,
}

/** Prints integrations, one per line. */
export function showIntegrations(integrations: Integration[], json: true | undefined): void {
  if (json) printJson(integrations)
  else printTable(integrations, TABLE)
}

/** Returns the path of an integration. Throws `UsageError`. */
export function integrationPath(name: string): string {
  if (name === '') throw new UsageError('the name of the integration is empty')
  return `/integrations/${encodeURIComponent(name)}`
}
