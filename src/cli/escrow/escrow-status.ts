import { findLagSeconds } from '../../escrow/changes.ts'
import { getEscrowState, switchOff } from '../../escrow/lease.ts'
import { loadEscrow } from '../../escrow/read-escrow.ts'
import { endProgress, printFields, printJson, showProgress } from '../common/output.ts'
import { withDatabase } from '../common/with-database.ts'
import { withEscrow } from './with-escrow.ts'

interface StatusOptions {
  json?: true | undefined
}

/** Reads the whole escrow and reports what a restore would find. Sets exit code 1 for a problem. */
export function showEscrow({ json }: StatusOptions): Promise<void> {
  return withEscrow(async (config, { db }, place) => {
    const state = await getEscrowState(db)
    const lagSeconds = await findLagSeconds(db)
    const content = await db
      .connection()
      .execute((connection) =>
        loadEscrow(connection, place, config, (lines) => showProgress(`${lines} lines`)),
      )
    endProgress()
    if (!content.isComplete || content.problems.length > 0) process.exitCode = 1
    if (json) {
      return printJson({
        place: place.title,
        is_on: state.isOn,
        lag_seconds: lagSeconds,
        segments: content.segments,
        lines: content.lines,
        complete: content.isComplete,
        newest_at: content.newestAt,
        keys: state.keyIds,
        problems: content.problems,
      })
    }
    printFields({
      place: place.title,
      recording: state.isOn ? 'on' : 'off: no broker with ESCROW_URL has started',
      behind: `${lagSeconds.toFixed(1)} s`,
      segments: `${content.segments}, ${content.lines} lines`,
      complete: content.isComplete ? 'yes' : 'no',
      newest: content.newestAt,
      keys: state.keyIds.join(', '),
    })
    for (const problem of content.problems) console.log(`  ${problem}`)
  })
}

/** Stops the recording of changes. */
export function turnOff({ json }: StatusOptions): Promise<void> {
  return withDatabase(async (_config, { db }) => {
    await db.transaction().execute(switchOff)
    if (json) printJson({ is_on: false })
    else console.log('Changes are not recorded for the escrow any more.')
  })
}
