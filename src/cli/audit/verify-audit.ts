import { readFile } from 'node:fs/promises'
import { readKnownHead } from '../../audit/known-head.ts'
import { headsFile } from '../../audit/sealer.ts'
import { type PublishedHead, verifyAudit } from '../../audit/verify-chain.ts'
import { readDeployment } from '../../db/deployment.ts'
import { KeyedHash } from '../../vault/keyed-hash.ts'
import { endProgress, printJson, showProgress } from '../common/output.ts'
import { withDatabase } from '../common/with-database.ts'

interface AuditVerifyOptions {
  heads?: string[] | undefined
  json?: true | undefined
}

/** Verifies the audit chain against the published heads. Sets exit code 1 if it is broken. */
export function verifyAuditTrail({ heads = [], json }: AuditVerifyOptions): Promise<void> {
  return withDatabase(async (config, { db }) => {
    const own = await readHeads(headsFile(config.dataDir)).catch(() => [])
    const known = await readKnownHead(config.dataDir)
    const given = await Promise.all(heads.map(readHeads))
    const published = [...own, ...(known === undefined ? [] : [known]), ...given.flat()]
    const { rootSecret } = await readDeployment(db, config.keyRing)
    const hash = new KeyedHash(() => rootSecret, 'audit')
    const show = (rows: number) => showProgress(`${rows} rows`)
    const result = await verifyAudit(db, hash, published, show)
    endProgress()
    if (result.problems.length > 0) process.exitCode = 1
    if (json) return printJson(result)
    console.log(
      `rows ${result.first} to ${result.last}: ${result.rows} rows, ${result.heads} published heads`,
    )
    for (const { at, seq, lostHeads, newestLost } of result.restores) {
      const lost = `${lostHeads} heads up to row ${newestLost} were published in between`
      console.log(
        `  restored on ${at} to row ${seq}: ${lostHeads === 0 ? 'no head is lost' : lost}`,
      )
    }
    for (const problem of result.problems) console.log(`  ${problem}`)
    console.log(
      result.problems.length === 0
        ? 'the audit is whole'
        : 'the audit was tampered with, or lost rows in a failover or a restore',
    )
  })
}

/** Reads published heads from the sealer's file or from a log. */
async function readHeads(file: string): Promise<PublishedHead[]> {
  const text = await readFile(file, 'utf8')
  const lines = text.matchAll(/^(\d+) ([\w-]{43})(?: (\S+))?$/gm)
  const logged = text.matchAll(/^(?:.*?"time":"?([\w:.+-]+))?.*?"seq":(\d+),"mac":"([\w-]{43})"/gm)
  return [
    // The third word of a remembered head is no time.
    ...Array.from(lines, ([, seq, mac, time]) => headOf(seq, mac, time?.includes('T') ? time : '')),
    ...Array.from(logged, ([, time, seq, mac]) => headOf(seq, mac, time)),
  ]
}

function headOf(seq: string | undefined, mac = '', time = ''): PublishedHead {
  const atMs = new Date(/^\d+$/.test(time) ? Number(time) : time).getTime()
  return { seq: Number(seq), mac, atMs: Number.isNaN(atMs) ? undefined : atMs }
}
