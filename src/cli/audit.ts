import { readFile } from 'node:fs/promises'
import { parseArgs } from 'node:util'
import { pino } from 'pino'
import { headsFile } from '../audit/sealer.ts'
import { type PublishedHead, verifyAudit } from '../audit/verify.ts'
import { loadConfig } from '../config.ts'
import { ConfigError } from '../config-checks.ts'
import { openDatabase } from '../db/database.ts'
import { readDeployment } from '../db/deployment.ts'
import { KeyedHash } from '../vault/keyed-hash.ts'

const HELP = `npm run audit -- verify [--heads FILE]… [--json]

Goes through the audit's chain and says whether a row was changed, removed, put in between or cut off at the end, by
the heads that were published: those in DATA_DIR/audit-heads, and those in every FILE, which may be a broker's log.

Exit code 0 when the audit is whole, 1 when not.
`

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    heads: { type: 'string', multiple: true },
    json: { type: 'boolean' },
    help: { type: 'boolean' },
  },
})
if (values.help || positionals[0] !== 'verify') {
  console.log(HELP)
  if (!values.help) process.exitCode = 1
} else {
  try {
    await verify()
  } catch (error) {
    const { code, message } = error as { code?: string; message: string }
    const problems =
      error instanceof ConfigError ? error.problems : [`not verified: ${message || code}`]
    for (const problem of problems) console.error(`amo-token-broker: ${problem}`)
    process.exitCode = 1
  }
}

async function verify(): Promise<void> {
  const config = await loadConfig(process.env)
  const own = await readHeads(headsFile(config.dataDir)).catch(() => [])
  const given = await Promise.all((values.heads ?? []).map(readHeads))
  const database = await openDatabase(config, pino({ level: 'silent' }))
  try {
    const { rootSecret } = await readDeployment(database.db, config.keyRing)
    const hash = new KeyedHash(() => rootSecret, 'audit')
    const show = (rows: number) => {
      if (process.stderr.isTTY) process.stderr.write(`\r${rows} rows`)
    }
    const result = await verifyAudit(database.db, hash, [...own, ...given.flat()], show)
    if (process.stderr.isTTY) process.stderr.write('\r')
    if (result.problems.length > 0) process.exitCode = 1
    if (values.json) return console.log(JSON.stringify(result))
    console.log(
      `rows ${result.first} to ${result.last}: ${result.rows} rows, ${result.heads} published heads`,
    )
    for (const problem of result.problems) console.log(`  ${problem}`)
    console.log(result.problems.length === 0 ? 'the audit is whole' : 'the audit was tampered with')
  } finally {
    await database.close()
  }
}

/** Of the file that the sealer writes, or of a log. */
async function readHeads(file: string): Promise<PublishedHead[]> {
  const text = await readFile(file, 'utf8')
  const lines = text.matchAll(/^(\d+) ([\w-]{43}) /gm)
  const logged = text.matchAll(/"seq":(\d+),"mac":"([\w-]{43})"/g)
  return [...lines, ...logged].map(([, seq, mac = '']) => ({ seq: Number(seq), mac }))
}
