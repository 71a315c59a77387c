import type { Kysely } from 'kysely'
import type { Tables } from '../../db/tables.ts'
import type { Integration } from '../../integrations/service.ts'
import { CallFailed, call } from '../../provider/call.ts'
import { type Finding, fail, ok, warn } from './finding.ts'

const LIMIT_MS = 10_000
/** Asked without its header it says no, and that is an answer (provider page, part 4). */
const PROBE_PATH = '/oauth2/account/current/subdomain'

/** Whether the accounts' hosts can be reached from here, with no token and no secret. */
export async function examineProvider(
  integrations: Integration[],
  db: Kysely<Tables>,
): Promise<Finding[]> {
  return Promise.all(
    integrations.map(async (integration) => {
      const account = await db
        .selectFrom('amo_tokens')
        .select('domain')
        .where('integration', '=', integration.name)
        .where('domain', 'is not', null)
        .orderBy('accountId')
        .executeTakeFirst()
      const { authorizeUrl } = integration.profile
      const host = account?.domain ?? URL.parse(authorizeUrl)?.host
      if (!host) return ok(`${integration.name}: no host to ask yet`)
      return ask(integration, host)
    }),
  )
}

async function ask(integration: Integration, host: string): Promise<Finding> {
  const who = `${integration.name}: ${integration.sandboxOrigin ?? host}`
  const beganMs = performance.now()
  try {
    const { status, contentType } = await call(integration, {
      method: 'GET',
      url: `https://${host}${PROBE_PATH}`,
      headers: { accept: 'application/json' },
      limitMs: LIMIT_MS,
    })
    const text = `${who} answers in ${Math.round(performance.now() - beganMs)} ms`
    if (status === 429) {
      return warn(
        `${text}, with 429`,
        'Too many requests: lower PACE_PER_SECOND, or your services.',
      )
    }
    if (status === 403 && contentType === 'text/html') {
      const remedy =
        'The address is blocked, for hours perhaps: look for what sends too much from it.'
      return fail(`${text}, with a block page (403)`, remedy)
    }
    return status >= 500
      ? warn(`${text}, with ${status}`, 'The provider has trouble: refreshes wait for it.')
      : ok(text)
  } catch (error) {
    if (!(error instanceof CallFailed)) throw error
    return fail(
      `${who} cannot be reached (${error.code})`,
      'Check DNS, the firewall and the proxy between this machine and the account’s host.',
    )
  }
}
