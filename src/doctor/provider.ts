import type { Kysely } from 'kysely'
import type { Tables } from '../db/tables.ts'
import type { Integration } from '../integrations/integration.ts'
import { CallFailed, call } from '../provider/call.ts'
import { type Finding, fail, ok, warn } from './finding.ts'

const LIMIT_MS = 10_000
/** Without its header it responds with an error, which is enough here. */
const PROBE_PATH = '/oauth2/account/current/subdomain'

/** Examines whether the accounts' hosts can be reached, without a token or a secret. */
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
      if (!host) return ok(`${integration.name}: no host to call yet`)
      return tryHost(integration, host)
    }),
  )
}

async function tryHost(integration: Integration, host: string): Promise<Finding> {
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
        'Lower PACE_PER_SECOND, or the number of calls of your services.',
      )
    }
    if (status === 403 && contentType === 'text/html') {
      const remedy =
        'The provider blocks this address, perhaps for hours. Find out what sends too many requests from it.'
      return fail(`${text}, with a block page (403)`, remedy)
    }
    return status >= 500
      ? warn(`${text}, with ${status}`, 'The provider has a problem. Refreshes wait until it ends.')
      : ok(text)
  } catch (error) {
    if (!(error instanceof CallFailed)) throw error
    return fail(
      `${who} cannot be reached (${error.code})`,
      'Check DNS, the firewall and the proxy between this machine and the host.',
    )
  }
}
