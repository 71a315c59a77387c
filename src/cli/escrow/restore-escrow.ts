import { sql } from 'kysely'
import type { Config } from '../../config/load-config.ts'
import type { Database } from '../../db/database.ts'
import { readDeployment } from '../../db/deployment.ts'
import type { Applied } from '../../escrow/apply-images.ts'
import type { EscrowPlace } from '../../escrow/place.ts'
import { type Restored, restore } from '../../escrow/restore.ts'
import { KeyedHash } from '../../vault/keyed-hash.ts'
import { Failure } from '../common/failure.ts'
import { endProgress, printFields, printJson, showProgress } from '../common/output.ts'
import { confirm } from '../common/secret-input.ts'
import { withEscrow } from './with-escrow.ts'

/** A replica whose heartbeat is younger than this is alive. */
const ALIVE_SECONDS = 15

interface RestoreOptions {
  dryRun?: boolean | undefined
  force?: boolean | undefined
  yes?: true | undefined
  json?: true | undefined
}

/** Restores the escrow into the database of the settings. Throws `Failure`. */
export function restoreEscrow(options: RestoreOptions): Promise<void> {
  return withEscrow((config, database, place) => run(options, config, database, place))
}

async function run(
  { dryRun = false, force = false, yes, json }: RestoreOptions,
  config: Config,
  database: Database,
  place: EscrowPlace,
): Promise<void> {
  if (!dryRun && !force) await checkStopped(database)
  const attempt = (isDryRun: boolean) => restoreInto(database, config, place, isDryRun)
  const preview = await attempt(true)
  if (!json) print(preview, place)
  if (!dryRun) {
    if (!preview.content.isComplete && !force) {
      throw new Failure('the escrow is incomplete, nothing was changed', {
        remedy: 'Bring the missing part back, or add --force to restore the rows that it has.',
      })
    }
    if (!yes) await confirm(`Type ${config.deploymentId} to restore:`, config.deploymentId)
    await attempt(false)
    if (!json) console.log('Restored. Start the brokers, those with their old DATA_DIR first.')
  }
  if (json) printJson({ restored: !dryRun, ...toJson(preview) })
}

/** Restores the escrow into a database that belongs to the deployment of the settings. */
export async function restoreInto(
  { db }: Pick<Database, 'db'>,
  { keyRing, deploymentId }: Pick<Config, 'keyRing' | 'deploymentId'>,
  place: EscrowPlace,
  isDryRun: boolean,
): Promise<Restored> {
  const { rootSecret, boundTo } = await readDeployment(db, keyRing)
  if (boundTo !== deploymentId) {
    throw new Failure(`the database belongs to "${boundTo}", DEPLOYMENT_ID is "${deploymentId}"`, {
      remedy: 'Restore with the DEPLOYMENT_ID of the backup, then run amo-broker adopt.',
    })
  }
  const auditHash = new KeyedHash(() => rootSecret, 'audit')
  const onLine = (lines: number) => showProgress(`${lines} lines`)
  const result = await restore(
    db,
    { keyRing, deploymentId, auditHash, place },
    { isDryRun, onLine },
  )
  endProgress()
  return result
}

async function checkStopped({ db }: Database): Promise<void> {
  const { rows } = await sql<{ alive: number }>`
    select count(*)::int as alive from amo_replicas
    where "beatAt" > clock_timestamp() - ${ALIVE_SECONDS} * interval '1 second'
  `.execute(db)
  const alive = rows[0]?.alive ?? 0
  if (alive === 0) return
  throw new Failure(`${alive} brokers work on this database`, {
    remedy: `Stop them, wait ${ALIVE_SECONDS} s, and try again; or add --force.`,
  })
}

const ROWS: [keyof Applied, string][] = [
  ['accountsRenewed', 'accounts with a newer pair or state'],
  ['accountsAdded', 'accounts that the backup lacks'],
  ['accountsRemoved', 'accounts that were removed since'],
  ['accountsUncovered', 'accounts that the escrow lacks'],
  ['integrations', 'integrations'],
  ['clients', 'clients'],
  ['clientsRemoved', 'clients that were removed since'],
  ['endpoints', 'endpoints'],
  ['endpointsRemoved', 'endpoints that were removed since'],
  ['labels', 'labels of accounts'],
]

function print({ content, applied }: Restored, place: EscrowPlace): void {
  printFields({
    escrow: place.title,
    newest: content.newestAt,
    complete: content.isComplete ? 'yes' : 'no',
    ...Object.fromEntries(ROWS.map(([name, title]) => [title, applied[name]])),
  })
  for (const problem of content.problems) console.log(`  ${problem}`)
}

/** Returns a restore as `--json` prints it. */
export function toJson({ content, applied }: Restored) {
  return {
    newest_at: content.newestAt,
    complete: content.isComplete,
    problems: content.problems,
    accounts_renewed: applied.accountsRenewed,
    accounts_added: applied.accountsAdded,
    accounts_removed: applied.accountsRemoved,
    accounts_uncovered: applied.accountsUncovered,
    integrations: applied.integrations,
    clients: applied.clients,
    clients_removed: applied.clientsRemoved,
    endpoints: applied.endpoints,
    endpoints_removed: applied.endpointsRemoved,
    labels: applied.labels,
  }
}
