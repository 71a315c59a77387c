import { join } from 'node:path'
import { query } from '../support/database.ts'
import { dump, restoreDump } from '../support/dump.ts'
import { PostgresServer } from '../torture/postgres-server.ts'
import { RedisServer } from '../torture/redis-server.ts'
import { bringBack, newestGeneration, say, untilRefreshed } from './disaster.ts'
import type { Fleet } from './fleet.ts'

/**
 * Moves the brokers to another PostgreSQL, another Redis and other disks, step by step as in
 * docs/deployment.md.
 *
 * @param lost The number of accounts that need a new consent anyway.
 */
export async function runMove(fleet: Fleet, lost: number): Promise<void> {
  const { scope, databaseUrl, accounts, problem } = fleet
  say('\nthe brokers move')
  const server = await PostgresServer.start(scope)
  const redis = await RedisServer.start(scope)
  await fleet.start()
  const callers = fleet.call()
  await untilRefreshed(databaseUrl, await newestGeneration(databaseUrl), accounts / 10)
  const { served } = await callers.stop()
  const codes = await fleet.stop()
  say(`${served} tokens served; the brokers ended with ${codes.join(', ')}`)
  if (codes.some((code) => code !== 0)) problem('a broker did not end with 0')
  const file = join(fleet.folder, 'move.dump')
  await dump(databaseUrl, file)
  const moved = new URL(server.url)
  moved.pathname = new URL(databaseUrl).pathname
  await restoreDump(moved.href, file)
  const old = new URL(databaseUrl)
  old.pathname = '/postgres'
  await query(old.href, `alter database ${moved.pathname.slice(1)} allow_connections false`)
  fleet.moveTo(moved.href, redis.url)
  await fleet.start({ count: 1, env: { HOLD_SENDS: 'true' } })
  const { json } = await fleet.cli(['verify', '--pace', '100'])
  say(`verify: ${JSON.stringify(json.counts)}`)
  const alive = json.counts.find(({ verdict }: { verdict: string }) => verdict === 'alive')
  if (alive?.accounts !== accounts - lost) problem('not every account is alive after the move')
  await fleet.stop()
  await bringBack(fleet, lost)
}
