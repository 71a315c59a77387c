import { readFile } from 'node:fs/promises'
import { headsFile } from '../audit/sealer.ts'
import { type PublishedHead, verifyAudit } from '../audit/verify.ts'
import { readDeployment } from '../db/deployment.ts'
import { KeyedHash } from '../vault/keyed-hash.ts'
import { endProgress, printJson, showProgress } from './output.ts'
import { withDatabase } from './with-database.ts'

export interface AuditVerifyOptions {
  heads?: string[] | undefined
  json?: true | undefined
}

/** Goes through the audit's chain by the heads that were published. Exit code 1 when it is not whole. */
export function verifyAuditTrail({ heads = [], json }: AuditVerifyOptions): Promise<void> {
  return withDatabase(async (config, { db }) => {
    const own = await readHeads(headsFile(config.dataDir)).catch(() => [])
    const given = await Promise.all(heads.map(readHeads))
    const { rootSecret } = await readDeployment(db, config.keyRing)
    const hash = new KeyedHash(() => rootSecret, 'audit')
    const show = (rows: number) => showProgress(`${rows} rows`)
    const result = await verifyAudit(db, hash, [...own, ...given.flat()], show)
    endProgress()
    if (result.problems.length > 0) process.exitCode = 1
    if (json) return printJson(result)
    console.log(
      `rows ${result.first} to ${result.last}: ${result.rows} rows, ${result.heads} published heads`,
    )
    for (const problem of result.problems) console.log(`  ${problem}`)
    console.log(result.problems.length === 0 ? 'the audit is whole' : 'the audit was tampered with')
  })
}

/** Of the file that the sealer writes, or of a log. */
async function readHeads(file: string): Promise<PublishedHead[]> {
  const text = await readFile(file, 'utf8')
  const lines = text.matchAll(/^(\d+) ([\w-]{43}) /gm)
  const logged = text.matchAll(/"seq":(\d+),"mac":"([\w-]{43})"/g)
  return [...lines, ...logged].map(([, seq, mac = '']) => ({ seq: Number(seq), mac }))
}
