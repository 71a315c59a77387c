import { type Kysely, type Selectable, sql } from 'kysely'
import type { Tables } from '../db/tables.ts'

type ToReconnect = Pick<
  Selectable<Tables['amo_tokens']>,
  'integration' | 'accountId' | 'domain' | 'status' | 'generation' | 'lastErrorCode'
>

/**
 * Finds the accounts that a person must authorize again, or the given ones in any state, ordered by
 * key.
 */
export async function findToReconnect(
  db: Kysely<Tables>,
  wanted: {
    integration?: string | undefined
    accounts?: number[] | undefined
    after?: string | undefined
  },
  limit: number,
): Promise<ToReconnect[]> {
  const { integration = null, accounts = null } = wanted
  const [afterIntegration = '', afterAccount = '0'] = wanted.after?.split('/') ?? []
  const { rows } = await sql<ToReconnect>`
    select integration, "accountId", domain, status, generation, "lastErrorCode" from amo_tokens
    where (${integration}::text is null or integration = ${integration})
      and case when ${accounts}::bigint[] is null then status in ('reauth_required', 'disconnected')
        else "accountId" = any(${accounts}::bigint[]) end
      and (integration, "accountId") > (${afterIntegration}, ${afterAccount}::bigint)
    order by integration, "accountId" limit ${limit}
  `.execute(db)
  return rows
}
