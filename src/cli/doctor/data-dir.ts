import { mkdir, open, statfs, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import type { Config } from '../../config.ts'
import { type Finding, fail, ok, warn } from './finding.ts'

/** Of statfs(2): what lies there is gone with the machine. */
const TMPFS = 0x01021994
const MIN_FREE_MB = 100
/** A disk that takes longer holds up every refresh: the answer is written in the tick that read it. */
const SLOW_MS = 100
const MB = 1024 * 1024

/** Where an answer of the provider lies until it is committed. */
export async function examineDataDir({ dataDir }: Config): Promise<Finding[]> {
  const file = join(dataDir, `.doctor-${process.pid}`)
  let tookMs: number
  try {
    await mkdir(dataDir, { recursive: true, mode: 0o700 })
    tookMs = await writeDurably(file)
  } catch (error) {
    const { code } = error as { code?: string }
    return [
      fail(`${dataDir} cannot be written (${code})`, 'Let DATA_DIR belong to the broker’s user.'),
    ]
  }
  const { type, bavail, bsize } = await statfs(dataDir)
  const freeMb = Math.floor((bavail * bsize) / MB)
  const findings: Finding[] = [
    tookMs > SLOW_MS
      ? warn(
          `${dataDir}: a durable write takes ${tookMs} ms`,
          'Put DATA_DIR on a local disk: each refresh waits for one such write.',
        )
      : ok(`${dataDir}: a durable write takes ${tookMs} ms, ${freeMb} MB free`),
  ]
  if (type === TMPFS) {
    findings.push(
      warn(
        `${dataDir} lies in memory`,
        'Put DATA_DIR on a disk that survives a restart: answers lie there until they are committed.',
      ),
    )
  }
  if (freeMb < MIN_FREE_MB) {
    findings.push(warn(`${dataDir}: ${freeMb} MB are free`, 'Make room: a full disk loses pairs.'))
  }
  return findings
}

async function writeDurably(path: string): Promise<number> {
  const beganMs = performance.now()
  const file = await open(path, 'w', 0o600)
  try {
    await file.write('doctor')
    await file.sync()
  } finally {
    await file.close()
    await unlink(path)
  }
  return Math.round(performance.now() - beganMs)
}
