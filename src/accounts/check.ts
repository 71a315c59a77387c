import type { Integration } from '../integrations/service.ts'
import { type ApiCheck, smokeTest } from '../provider/smoke-test.ts'
import type { Verdict } from '../refresh/verify.ts'
import type { Secret } from '../vault/secret.ts'

/** One line of a check, with what to do about it. */
export interface CheckLine {
  name: ApiCheck['name'] | 'refresh_token'
  ok: boolean
  status: number | null
  ms: number
  count?: number
  more?: boolean
  /** What is told though nothing is wrong, or what is wrong. */
  note?: string
  remedy?: string
}

export interface CheckedAccount {
  accountId: number
  host: string
  integration: Integration
}

/** The guides' smoke test: what the account's API says to this token. */
export async function checkApi(
  { accountId, host, integration }: CheckedAccount,
  accessToken: Secret,
): Promise<CheckLine[]> {
  const checks = await smokeTest(integration, host, accessToken)
  return checks.map((each) => explain(each, accountId, integration))
}

function explain(check: ApiCheck, accountId: number, { external }: Integration): CheckLine {
  const { accountId: answered, failure, ...line } = check
  if (check.ok && answered !== undefined && answered !== accountId) {
    const note = 'The host answers for another account: the domain has changed hands.'
    return { ...line, ok: false, note, remedy: 'Refresh the account: its domain is looked up.' }
  }
  if (check.ok) return check.status === 204 ? { ...line, note: 'none (204)' } : line
  if (check.name === 'users' && check.status === 403)
    return { ...line, ok: true, note: forbidden(external) }
  return { ...line, ...problemOf(check, failure) }
}

/** Not a fault of the connection. */
function forbidden(isExternal: boolean): string {
  return isExternal
    ? 'An external integration may not call the users methods (403): that is the platform’s limit.'
    : 'Only administrators may list users (403), and no external integration: the person who consented is none.'
}

function problemOf(
  { status, name }: ApiCheck,
  failure: string | undefined,
): { note: string; remedy: string } {
  if (status === null) {
    return {
      note: `The account’s host gave no answer (${failure}).`,
      remedy: 'Check DNS, the firewall and the proxy between the broker and the account’s host.',
    }
  }
  if (status === 401) {
    return {
      note: 'The account does not accept the access token.',
      remedy: 'Report it: POST /tokens/:account/refresh with its generation.',
    }
  }
  if (status === 402) {
    return { note: 'The account is not paid for.', remedy: 'Pay for the account at the platform.' }
  }
  if (status === 403) {
    return {
      note: 'The account refuses the call: access denied, or the address is blocked.',
      remedy: `Give the integration the scopes for ${name}, and the person who consented the rights to the API.`,
    }
  }
  if (status === 404) {
    return {
      note: 'There is no account at this host.',
      remedy: 'It was renamed or is gone: the next refresh looks its domain up.',
    }
  }
  if (status === 429) {
    return {
      note: 'Too many requests reach the provider with this integration.',
      remedy: 'Ask again later; its services share 7 requests a second.',
    }
  }
  return {
    note: failure === undefined ? `The provider answered ${status}.` : 'The answer cannot be read.',
    remedy: 'Ask again later; if it lasts, look at the provider’s status page.',
  }
}

/** What a probe of the refresh token says; it spends nothing. */
export function explainVerdict(verdict: Verdict, ms: number): CheckLine {
  const line = { name: 'refresh_token' as const, status: null, ms }
  switch (verdict) {
    case 'alive':
      return { ...line, ok: true }
    case 'busy':
      return { ...line, ok: true, note: 'The account is being refreshed at this moment.' }
    case 'unclear':
      return { ...line, ok: true, note: 'The provider did not say whether it lives.' }
    case 'dead':
      return {
        ...line,
        ok: false,
        note: 'The provider does not accept the refresh token: the access token is the last one.',
        remedy: 'Make a connect link (POST /connect-links) and let an administrator consent again.',
      }
    case 'unreadable':
      return {
        ...line,
        ok: false,
        note: 'It cannot be opened.',
        remedy: 'Put the key that the log names back into ENCRYPTION_KEYS.',
      }
  }
}
