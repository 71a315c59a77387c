import { pino } from 'pino'
import type { Config } from '../../config.ts'
import { openRedis } from '../../db/redis.ts'
import { type Finding, fail, ok, warn } from './finding.ts'

/** What INFO tells, for it is allowed where CONFIG is not. */
export async function examineRedis({ redisUrl }: Config): Promise<Finding[]> {
  if (redisUrl === null) return [ok('not configured')]
  const redis = await openRedis(redisUrl, pino({ level: 'silent' }))
  try {
    if (redis.status !== 'ready') {
      return [
        fail(
          'no connection',
          'Start it or correct REDIS_URL; until then the claim in PostgreSQL alone decides.',
        ),
      ]
    }
    const beganMs = performance.now()
    const info = parseInfo(await redis.info())
    const tookMs = Math.round(performance.now() - beganMs)
    return judge(info, tookMs)
  } finally {
    redis.disconnect()
  }
}

function judge(info: ReadonlyMap<string, string>, tookMs: number): Finding[] {
  const findings = [ok(`Redis ${info.get('redis_version')}, answers in ${tookMs} ms`)]
  const policy = info.get('maxmemory_policy') ?? 'unknown'
  const isBounded = Number(info.get('maxmemory') ?? 0) > 0
  if (policy === 'noeviction' || !isBounded) findings.push(ok(`eviction: ${policy}`))
  else {
    findings.push(
      warn(
        `eviction: ${policy} throws locks and second copies of answers away when memory is full`,
        'Set maxmemory-policy noeviction, or give the broker a Redis of its own.',
      ),
    )
  }
  if (info.get('role') === 'slave') {
    findings.push(fail('this is a replica: it takes no writes', 'Point REDIS_URL at the primary.'))
  }
  if (info.get('rdb_last_bgsave_status') === 'err' || info.get('aof_last_write_status') === 'err') {
    findings.push(
      warn('its last write to disk failed', 'Look at its log: it refuses writes before long.'),
    )
  }
  const isKept = info.get('aof_enabled') === '1'
  findings.push(
    ok(
      isKept
        ? 'persistence: append-only file'
        : 'persistence: none or snapshots; a restart loses second copies, DATA_DIR has the first ones',
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
