import type { Config } from '../config.ts'
import { adoptDatabase, type Binding, findBinding } from '../db/adopt.ts'
import type { Database } from '../db/database.ts'
import { Failure } from './failure.ts'
import { confirm } from './secret-input.ts'
import { withDatabase } from './with-database.ts'

export interface AdoptOptions {
  yes?: true | undefined
  force?: true | undefined
}

/** Binds the database to this deployment, unless the other one looks alive. Throws `Failure`. */
export function adopt(options: AdoptOptions): Promise<void> {
  return withDatabase((config, database) => bind(options, config, database))
}

async function bind(
  { yes, force }: AdoptOptions,
  { deploymentId }: Config,
  { db }: Database,
): Promise<void> {
  const binding = await findBinding(db)
  if (binding === undefined) {
    return console.log('The database belongs to no deployment yet: the first start binds it.')
  }
  if (binding.deploymentId === deploymentId) {
    return console.log(`The database belongs to "${deploymentId}" already.`)
  }
  console.log(
    `The database belongs to "${binding.deploymentId}", DEPLOYMENT_ID is "${deploymentId}".`,
  )
  refuseWhileAlive(binding, force)
  if (!yes) await confirm(`Type ${deploymentId} to bind it to this deployment:`, deploymentId)
  if (!(await adoptDatabase(db, binding, deploymentId))) {
    throw new Failure('somebody else has adopted the database meanwhile')
  }
  console.log(`The database belongs to "${deploymentId}" now. Its brokers refresh from here on.`)
}

function refuseWhileAlive(
  { deploymentId, sessions, liveClaims }: Binding,
  force: true | undefined,
): void {
  const signs = []
  if (sessions > 0) signs.push(`${sessions} sessions of its brokers are open`)
  if (liveClaims > 0) signs.push(`${liveClaims} refreshes are under way or were a minute ago`)
  if (signs.length === 0) return
  const text = `"${deploymentId}" looks alive: ${signs.join(', and ')}`
  if (!force) throw new Failure(text, { remedy: 'Stop it first, or add --force.' })
  console.log(`${text}. Going on, as --force says.`)
}
