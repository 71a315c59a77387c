import type { Integration } from '../integrations/integration.ts'
import { type ApiCheck, smokeTest } from '../provider/smoke-test.ts'
import type { CheckResult } from '../refresh/verify-account.ts'
import type { Secret } from '../vault/secret.ts'

/** The result of one check. */
export interface CheckLine {
  name: ApiCheck['name'] | 'refresh_token'
  ok: boolean
  status: number | null
  ms: number
  count?: number
  more?: boolean
  /** Says what is wrong, or what is worth knowing although nothing is wrong. */
  note?: string
  remedy?: string
}

interface CheckedAccount {
  accountId: number
  host: string
  integration: Integration
}

/** Runs the smoke test of the guides: calls the account's API with this token. */
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
    const note = 'The host belongs to another account: the domain has changed hands.'
    return {
      ...line,
      ok: false,
      note,
      remedy: 'Refresh the account: the broker then looks up its domain.',
    }
  }
  if (check.ok) return check.status === 204 ? { ...line, note: 'none (204)' } : line
  if (check.name === 'users' && check.status === 403)
    return { ...line, ok: true, note: forbidden(external) }
  return { ...line, ...problemOf(check, failure) }
}

/** Returns why the users method answers 403, which is no fault of the connection. */
function forbidden(isExternal: boolean): string {
  return isExternal
    ? 'The platform does not let external integrations call the users methods (403).'
    : 'Only administrators may list users (403); the person who consented is not one.'
}

function problemOf(
  { status, name }: ApiCheck,
  failure: string | undefined,
): { note: string; remedy: string } {
  if (status === null) {
    return {
      note: `The account’s host did not answer (${failure}).`,
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
    return { note: 'The account’s subscription is not paid.', remedy: 'Pay it at the platform.' }
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
      remedy: 'It was renamed or deleted: the next refresh looks up its domain.',
    }
  }
  if (status === 429) {
    return {
      note: 'Too many requests: the integration exceeds the limit of the provider.',
      remedy: 'Try again later; all services of an integration share 7 requests per second.',
    }
  }
  return {
    note:
      failure === undefined ? `The provider answered ${status}.` : 'The response cannot be read.',
    remedy: 'Try again later; if it persists, look at the provider’s status page.',
  }
}

/** Explains the result of a probe of the refresh token, which spends nothing. */
export function explainProbe(result: CheckResult, ms: number): CheckLine {
  const line = { name: 'refresh_token' as const, status: null, ms }
  switch (result) {
    case 'alive':
      return { ...line, ok: true }
    case 'busy':
      return { ...line, ok: true, note: 'The account is being refreshed now.' }
    case 'unclear':
      return {
        ...line,
        ok: true,
        note: 'The response of the provider does not show whether it lives.',
      }
    case 'dead':
      return {
        ...line,
        ok: false,
        note: 'The provider does not accept the refresh token: no new access token can be had.',
        remedy: 'Make a connect link (POST /connect-links) and let an administrator consent again.',
      }
    case 'unreadable':
      return {
        ...line,
        ok: false,
        note: 'The refresh token cannot be decrypted.',
        remedy: 'Put the key that the log names back into ENCRYPTION_KEYS.',
      }
  }
}
