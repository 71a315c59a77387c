import type { Static } from 'typebox'
import type { AccountSchema } from '../accounts/schemas.ts'
import { callPages } from './api.ts'
import { printFields, printJson, timeText } from './output.ts'

export type Account = Static<typeof AccountSchema>

/** All that the caller may see. */
export function findAccounts(): Promise<Account[]> {
  return callPages<Account>('/accounts', 'accounts')
}

/** Whether an account is the one of that domain, or of that subdomain of its platform. */
export function isNamed(account: Account, integration: string, domain: string): boolean {
  if (account.integration !== integration || account.domain === null) return false
  const wanted = domain.toLowerCase()
  return wanted.includes('.') ? account.domain === wanted : account.domain.startsWith(`${wanted}.`)
}

export function showAccount(account: Account, json: true | undefined): void {
  if (json) printJson(account)
  else showFields(account)
}

export function statusText({ status, paused, shadow }: Account): string {
  return [status, ...(paused ? ['paused'] : []), ...(shadow ? ['shadow'] : [])].join(', ')
}

function showFields(account: Account): void {
  const error = account.last_error
  printFields({
    account: account.domain,
    id: account.account_id,
    integration: account.integration,
    kind: account.kind,
    status: statusText(account),
    generation: account.generation,
    'token expires': timeText(account.expires_at),
    'refresh planned': timeText(account.next_attempt_at ?? account.refresh_at),
    'last refresh': timeText(account.last_refresh_at),
    'refresh token expires': timeText(account.refresh_token_expires_at),
    'failed attempts': account.failed_attempts,
    'connected since': timeText(account.created_at),
    'last error': error === null ? undefined : `${error.code}, ${timeText(error.at)}`,
    problem: error?.problem,
    remedy: error?.remedy,
  })
}
