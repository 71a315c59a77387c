import type { Config } from '../../config/load-config.ts'
import type { Database } from '../../db/database.ts'
import { openPlace } from '../../escrow/open-place.ts'
import type { EscrowPlace } from '../../escrow/place.ts'
import { ForeignEscrow } from '../../escrow/segment-line.ts'
import { Failure } from '../common/failure.ts'
import { withDatabase } from '../common/with-database.ts'

/** Runs `work` with the database and the escrow of the settings. Throws `Failure`. */
export function withEscrow<T>(
  work: (config: Config, database: Database, place: EscrowPlace) => Promise<T>,
): Promise<T> {
  return withDatabase(async (config, database) => {
    if (config.escrowUrl === null) {
      throw new Failure('ESCROW_URL is not set', {
        remedy: 'Set it to the place that the brokers append to, such as file:///mnt/escrow.',
      })
    }
    const place = await openPlace(config.escrowUrl).catch((cause) => {
      throw new Failure(`the escrow cannot be opened: ${cause.code ?? cause.message}`)
    })
    try {
      return await work(config, database, place)
    } catch (error) {
      if (!(error instanceof ForeignEscrow)) throw error
      throw new Failure(error.message, {
        remedy: `DEPLOYMENT_ID is "${config.deploymentId}". Use the DEPLOYMENT_ID and ESCROW_URL of one deployment.`,
      })
    } finally {
      await place.close()
    }
  })
}
