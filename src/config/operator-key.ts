import { randomBytes } from 'node:crypto'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Logger } from 'pino'
import { Secret } from '../vault/secret.ts'

const KEY_BYTES = 24

/**
 * Reads the operator key from `operator.key` in the data folder. Creates it at the first start,
 * readable by its owner only.
 */
export async function readOrCreateOperatorKey(dataDir: string, log: Logger): Promise<Secret> {
  const file = join(dataDir, 'operator.key')
  await mkdir(dataDir, { recursive: true, mode: 0o700 })
  const created = `amo_op_${randomBytes(KEY_BYTES).toString('base64url')}`
  try {
    await writeFile(file, created, { mode: 0o600, flag: 'wx' })
    log.info({ file }, 'operator key made')
    return new Secret(created)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    return new Secret((await readFile(file, 'utf8')).trim())
  }
}
