import type { Static } from 'typebox'
import type { AccountSchema } from '../../contract/accounts.ts'
import { type Call, callPages } from '../common/broker-api.ts'
import { printFields, printJson, relative, type Table, timeText } from '../common/output.ts'
import { nameCommands } from '../common/remedies.ts'

export type Account = Static<typeof AccountSchema>

export const ACCOUNT_TABLE: Table<Account> = {
  columns: [
    { title: 'ACCOUNT', of: ({ domain }) => domain },
    { title: 'LABEL', of: ({ label }) => label },
    { title: 'ID', of: (account) => account.account_id },
    { title: 'INTEGRATION', of: ({ integration }) => integration },
    { title: 'STATUS', of: statusText },
    { title: 'EXPIRES', of: (account) => relative(account.expires_at) },
    { title: 'REFRESHED', of: (account) => relative(account.last_refresh_at) },
  ],
  empty: 'no accounts',
  note: ({ last_error, warning }) => {
    const code = last_error?.code ?? warning?.code
    return code === undefined ? undefined : `${code}; amo-broker accounts show has the remedy`
  },
}

/** Returns the accounts that the broker finds for a query, at most `limit` of them. */
export function findAccounts(
  query: NonNullable<Call['query']>,
  limit?: number,
): Promise<Account[]> {
  return callPages<Account>('/accounts', 'accounts', { query }, limit)
}

/** Prints one account in full. */
export function showAccount(account: Account, json: true | undefined): void {
  if (json) printJson(account)
  else showFields(account)
}

function statusText({ status, paused, shadow }: Account): string {
  return [status, ...(paused ? ['paused'] : []), ...(shadow ? ['shadow'] : [])].join(', ')
}

function showFields(account: Account): void {
  const { last_error: error, warning } = account
  printFields({
    account: account.domain,
    label: account.label ?? undefined,
    id: account.account_id,
    integration: account.integration,
    kind: account.kind,
    status: statusText(account),
    'in it since': timeText(account.status_since),
    generation: account.generation,
    'token expires': timeText(account.expires_at),
    'next refresh': timeText(account.next_attempt_at ?? account.refresh_at),
    'last refresh': timeText(account.last_refresh_at),
    'refresh token expires': timeText(account.refresh_token_expires_at),
    'failed attempts': account.failed_attempts,
    'connected since': timeText(account.created_at),
    'last error': error === null ? undefined : `${error.code}, ${timeText(error.at)}`,
    problem: error?.problem,
    remedy: error === null ? undefined : nameCommands(error.remedy),
    warning: warning === null ? undefined : `${warning.code}: ${warning.problem}`,
    'to do': warning === null ? undefined : nameCommands(warning.remedy),
  })
}
