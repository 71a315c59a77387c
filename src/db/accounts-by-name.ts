import { type Kysely, type SelectQueryBuilder, sql } from 'kysely'
import type { Tables } from './tables.ts'

/** More than there are integrations that one name could fit. */
export const MAX_ACCOUNTS_OF_NAME = 20

/** The kinds of names that an account has. */
type NameKind = 'id' | 'domain' | 'subdomain'

/** A name's kind, and the value to compare the column with. */
type NameCondition =
  | { kind: 'id'; value: number }
  | { kind: Exclude<NameKind, 'id'>; value: string }

/**
 * Returns what a name stands for: only digits are an account id, a dot makes it a domain, anything
 * else is a subdomain.
 *
 * @returns undefined when no account can have this name
 */
export function conditionOf(name: string): NameCondition | undefined {
  if (/^\d+$/.test(name)) {
    const value = Number(name)
    // A longer number is no account id, and must not be taken for a subdomain either.
    return Number.isSafeInteger(value) ? { kind: 'id', value } : undefined
  }
  if (name.includes('.')) return { kind: 'domain', value: name }
  return { kind: 'subdomain', value: `${name}.%` }
}

/** The conditions as SQL, without the value. */
export const CONDITIONS: Readonly<Record<NameKind, string>> = {
  id: '"accountId" =',
  domain: 'domain =',
  subdomain: 'domain like',
}

/** Selects the accounts of all integrations that a name fits. The caller chooses the columns. */
export function accountsByName(
  db: Kysely<Tables>,
  name: string,
): SelectQueryBuilder<Tables, 'amo_tokens', object> {
  const query = db.selectFrom('amo_tokens').limit(MAX_ACCOUNTS_OF_NAME)
  const condition = conditionOf(name)
  if (condition === undefined) return query.where(sql<boolean>`false`)
  const { kind, value } = condition
  return query.where(sql<boolean>`${sql.raw(CONDITIONS[kind])} ${value}`)
}
