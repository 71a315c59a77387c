import type { Logger } from 'pino'
import type { ConnectLinks } from '../connect-links/links.ts'
import type { Database } from '../db/database.ts'
import type { Heartbeat } from '../db/heartbeat.ts'
import type { Integrations } from '../integrations/directory.ts'
import type { Refresher } from '../refresh/refresh.ts'
import { Acknowledgements } from './acknowledgements.ts'
import type { TokenCache } from './cache.ts'
import { ForcedRotations } from './forced-rotations.ts'
import { HandOut } from './hand-out.ts'
import { Hits } from './hit.ts'
import { JoinedRefreshes } from './join-refresh.ts'
import type { TokenLookup } from './lookup.ts'
import type { ReadMarks } from './read-marks.ts'
import { TokenReader } from './reader.ts'
import { TokenReports } from './reports.ts'
import { TokenProbes } from './token-probes.ts'
import { UnknownGenerations } from './unknown-generations.ts'

/** Dependencies of the parts of `Tokens`. */
interface TokensParts {
  database: Database
  heartbeat: Heartbeat
  integrations: Integrations
  refresher: Refresher
  cache: TokenCache
  lookup: TokenLookup
  links: ConnectLinks
  marks: ReadMarks
  readWaitMs: number
  heartbeatMs: number
  /** The id of this process start. */
  owner: string
  log: Logger
}

/** The ways to get a token. */
export interface Tokens {
  hits: Hits
  reader: TokenReader
  reports: TokenReports
  forced: ForcedRotations
  acknowledgements: Acknowledgements
}

/** Puts the parts together. */
export function createTokens(parts: TokensParts): Tokens {
  const { database, heartbeat, integrations, refresher, cache, lookup, log } = parts
  const { links, marks, readWaitMs, heartbeatMs, owner } = parts
  const handOut = new HandOut(heartbeat, integrations, links)
  const refreshes = new JoinedRefreshes({ refresher, lookup, handOut, heartbeat })
  const reader = new TokenReader({ lookup, handOut, refreshes, marks, heartbeat, readWaitMs })
  const probes = new TokenProbes(integrations, log, readWaitMs)
  const unknownGenerations = new UnknownGenerations(refresher, log)
  const acknowledgements = new Acknowledgements({ database, owner, heartbeatMs })
  const forcing = { database, acknowledgements, reader, refreshes, log }
  const times = { heartbeatMs, readWaitMs }
  return {
    hits: new Hits(cache, heartbeat),
    reader,
    reports: new TokenReports({ database, cache, reader, probes, unknownGenerations, readWaitMs }),
    forced: new ForcedRotations({ ...forcing, times }),
    acknowledgements,
  }
}
