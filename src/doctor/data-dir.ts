import { lstat, mkdir, open, readdir, statfs, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import type { Config } from '../config/load-config.ts'
import { type Finding, fail, ok, warn } from './finding.ts'

/** File system type of statfs(2) that a restart of the machine empties. */
const TMPFS = 0x01021994
const MIN_FREE_MB = 100
/**
 * A slower disk delays every refresh, because each provider response is written before the commit.
 */
const SLOW_MS = 100
const MB = 1024 * 1024
/** Mode bits of the group and of others. */
const ANYONE_ELSE = 0o077

/** Examines the directory that keeps provider responses until they are committed. */
export async function examineDataDir({ dataDir }: Config): Promise<Finding[]> {
  const file = join(dataDir, `.doctor-${process.pid}`)
  let tookMs: number
  try {
    await mkdir(dataDir, { recursive: true, mode: 0o700 })
    tookMs = await writeDurably(file)
  } catch (error) {
    const { code } = error as { code?: string }
    return [
      fail(
        `${dataDir} cannot be written (${code})`,
        'Make the broker’s user the owner of DATA_DIR.',
      ),
    ]
  }
  const { type, bavail, bsize } = await statfs(dataDir)
  const freeMb = Math.floor((bavail * bsize) / MB)
  const findings: Finding[] = [
    tookMs > SLOW_MS
      ? warn(
          `${dataDir}: a durable write takes ${tookMs} ms`,
          'Put DATA_DIR on a local disk: each refresh waits for such a write.',
        )
      : ok(`${dataDir}: a durable write takes ${tookMs} ms, ${freeMb} MB free`),
  ]
  if (type === TMPFS) {
    findings.push(
      warn(
        `${dataDir} is in memory`,
        'Put DATA_DIR on a disk that survives a restart: it keeps responses until they are committed.',
      ),
    )
  }
  if (freeMb < MIN_FREE_MB) {
    findings.push(
      warn(
        `${dataDir}: only ${freeMb} MB are free`,
        'Free some space: a full disk loses token pairs.',
      ),
    )
  }
  return [...findings, ...(await examineModes(dataDir))]
}

/**
 * Finds files that other users of the machine can access. Nobody gets through a folder that is
 * closed to what is in it.
 */
async function examineModes(dataDir: string): Promise<Finding[]> {
  const { mode } = await lstat(dataDir)
  const open = (mode & ANYONE_ELSE) === 0 ? [] : await findOpen(dataDir)
  const [first] = open
  if (first === undefined) return []
  const others = open.length === 1 ? '' : ` and ${open.length - 1} more`
  const remedy = `Run chmod -R go-rwx ${dataDir}: it holds the operator key and what the broker stores.`
  return [warn(`${first}${others}: other users of this machine can access it`, remedy)]
}

async function findOpen(folder: string): Promise<string[]> {
  const open: string[] = []
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    if (entry.isSymbolicLink()) continue
    const path = join(folder, entry.name)
    // A spooled response may be gone by now.
    const { mode } = await lstat(path).catch(() => ({ mode: 0 }))
    if ((mode & ANYONE_ELSE) === 0) continue
    if (entry.isDirectory()) open.push(...(await findOpen(path)))
    else open.push(path)
  }
  return open
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
