import { type RawBuilder, sql } from 'kysely'

/** The process start that works on the inbox. */
export interface Worker {
  owner: string
  /** Null: this process sends nothing, so it claims nothing. */
  deploymentId: string | null
}

/** SQL that is true in the deployment's own database. A copy of the database presents no code. */
export function belongsTo(deploymentId: string | null): RawBuilder<unknown> {
  return sql`exists (select from amo_deployment where "deploymentId" = ${deploymentId})`
}
