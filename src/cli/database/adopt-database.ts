import { pino } from 'pino'
import type { Config } from '../../config/load-config.ts'
import { adoptDatabase, type Binding, findBinding } from '../../db/adopt.ts'
import type { Database } from '../../db/database.ts'
import { openRedis, reasonOf } from '../../db/redis.ts'
import { adoptCopies } from '../../journal/adopt-copies.ts'
import { Failure } from '../common/failure.ts'
import { printJson } from '../common/output.ts'
import { confirm } from '../common/secret-input.ts'
import { withDatabase } from '../common/with-database.ts'

interface AdoptOptions {
  yes?: true | undefined
  force?: true | undefined
  json?: true | undefined
}

/** Binds the database to this deployment, unless the other one looks alive. Throws `Failure`. */
export function adopt(options: AdoptOptions): Promise<void> {
  return withDatabase((config, database) => bind(options, config, database))
}

async function bind(
  { yes, force, json }: AdoptOptions,
  { deploymentId, redisUrl }: Config,
  { db }: Database,
): Promise<void> {
  const report = (text: string) => (json ? console.error(text) : console.log(text))
  const binding = await findBinding(db)
  if (binding === undefined) {
    report('The database belongs to no deployment yet: the first start binds it.')
    if (json) printJson({ deployment_id: null, adopted: false })
    return
  }
  if (binding.deploymentId === deploymentId) {
    report(`The database belongs to "${deploymentId}" already.`)
    if (json) printJson({ deployment_id: deploymentId, adopted: false })
    return
  }
  report(`The database belongs to "${binding.deploymentId}", DEPLOYMENT_ID is "${deploymentId}".`)
  const signs = signsOfLife(binding)
  if (signs !== undefined) {
    if (!force) throw new Failure(signs, { remedy: 'Stop it first, or add --force.' })
    report(`${signs}. Going on because of --force.`)
  }
  if (!yes) await confirm(`Type ${deploymentId} to bind it to this deployment:`, deploymentId)
  // Before the brokers begin, so that they look at these copies before they send anything.
  const known = await takeCopies(redisUrl, binding, deploymentId, report)
  if (!(await adoptDatabase(db, binding, deploymentId, known))) {
    throw new Failure('another process has adopted the database meanwhile')
  }
  report(`The database belongs to "${deploymentId}" now. Its brokers refresh from now on.`)
  if (json) printJson({ deployment_id: deploymentId, adopted: true })
}

/**
 * Takes over the copies of responses that the other deployment has in Redis. Returns the greatest
 * generation that is known there.
 */
async function takeCopies(
  redisUrl: Config['redisUrl'],
  binding: Binding,
  deploymentId: string,
  report: (text: string) => void,
): Promise<number> {
  if (redisUrl === null) return 0
  const redis = await openRedis(redisUrl, pino({ level: 'silent' }))
  try {
    const found = await adoptCopies(redis, binding.deploymentId, deploymentId)
    report(`Responses of "${binding.deploymentId}" in Redis: ${found.copied}, taken over.`)
    return found.greatestGeneration
  } catch (error) {
    const remedy = 'Correct REDIS_URL, or remove it to go on without them.'
    throw new Failure(`the responses in Redis cannot be read: ${reasonOf(error)}`, { remedy })
  } finally {
    redis.disconnect()
  }
}

/** Returns why the other deployment looks alive. Undefined: it does not. */
function signsOfLife({ deploymentId, sessions, liveClaims }: Binding): string | undefined {
  const signs = []
  if (sessions > 0) signs.push(`${sessions} sessions of its brokers are open`)
  if (liveClaims > 0) signs.push(`${liveClaims} refreshes are in flight or were a minute ago`)
  if (signs.length === 0) return undefined
  return `"${deploymentId}" looks alive: ${signs.join(', and ')}`
}
