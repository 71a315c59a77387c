import { pino } from 'pino'
import type { Config } from '../config/load-config.ts'
import { openRedis, reasonOf } from '../db/redis.ts'
import { type Finding, fail, ok, warn } from './finding.ts'

/** Examines Redis by INFO, which is allowed where CONFIG is not. */
export async function examineRedis({ redisUrl, deploymentId }: Config): Promise<Finding[]> {
  if (redisUrl === null) return [ok('not configured')]
  const redis = await openRedis(redisUrl, pino({ level: 'silent' }))
  try {
    if (redis.status !== 'ready') {
      return [
        fail(
          'no connection',
          'Start it or correct REDIS_URL. Until then only the claim in PostgreSQL decides.',
        ),
      ]
    }
    const failure = await redis
      .set(`amo:${deploymentId}:watch`, '1', 'PX', 1_000)
      .then(() => undefined, reasonOf)
    if (failure !== undefined) {
      return [
        fail(
          `it refuses writes: ${failure}`,
          'Point REDIS_URL at the primary, or name Sentinel or Cluster in it: see docs/deployment.md.',
        ),
      ]
    }
    const beganMs = performance.now()
    const info = parseInfo(String(await redis.info()))
    const tookMs = Math.round(performance.now() - beganMs)
    return findingsOf(info, tookMs)
  } finally {
    redis.disconnect()
  }
}

function findingsOf(info: ReadonlyMap<string, string>, tookMs: number): Finding[] {
  const findings = [ok(`Redis ${info.get('redis_version')}, responds in ${tookMs} ms`)]
  const policy = info.get('maxmemory_policy') ?? 'unknown'
  const isBounded = Number(info.get('maxmemory') ?? 0) > 0
  if (policy === 'noeviction' || !isBounded) findings.push(ok(`eviction: ${policy}`))
  else {
    findings.push(
      warn(
        `eviction: ${policy} deletes locks and second copies of provider responses when memory is full`,
        'Set maxmemory-policy noeviction, or give the broker a Redis of its own.',
      ),
    )
  }
  if (info.get('role') === 'slave') {
    findings.push(
      fail('this is a replica: it accepts no writes', 'Point REDIS_URL at the primary.'),
    )
  }
  if (info.get('rdb_last_bgsave_status') === 'err' || info.get('aof_last_write_status') === 'err') {
    findings.push(warn('its last write to disk failed', 'See its log: it will soon refuse writes.'))
  }
  const hasFile = info.get('aof_enabled') === '1'
  findings.push(
    ok(
      hasFile
        ? 'persistence: append-only file'
        : 'persistence: none or snapshots. A restart loses the second copies; DATA_DIR has the first ones',
    ),
  )
  return findings
}

function parseInfo(text: string): ReadonlyMap<string, string> {
  const pairs = text
    .split('\r\n')
    .filter((line) => line.includes(':'))
    .map((line): [string, string] => {
      const [name = '', value = ''] = line.split(/:(.*)/s)
      return [name, value]
    })
  return new Map(pairs)
}
