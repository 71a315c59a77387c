import { AuditLog } from '../audit/log.ts'
import { AuditSealer } from '../audit/sealer.ts'
import { ClientDirectory } from '../clients/directory.ts'
import { Clients } from '../clients/service.ts'
import { endGrants } from '../clients/store.ts'
import { IntegrationChanges } from '../integrations/changes.ts'
import type { Foundation } from './foundation.ts'

/** Makes what decides who may come in and what they may change, and what records it. */
export function wireAccess({ common, config, keyRing, hash, health }: Foundation) {
  const { database, heartbeat, integrations, log } = common
  const { dataDir, auditDays: retentionDays } = config
  const keyHash = hash('client-key')
  const directory = new ClientDirectory({
    database,
    heartbeat,
    hash: keyHash,
    log,
    reloadLimitMs: config.readWaitMs,
  })
  const access = { database, heartbeat, integrations, directory, hash: keyHash }
  const onProblem = (problem: string) => {
    health.auditProblem = problem
  }
  return {
    directory,
    clients: new Clients(access),
    integrationChanges: new IntegrationChanges({
      database,
      keyRing,
      integrations,
      endGrants: (trx, name) => endGrants(trx, keyHash, name),
      pacePerSecond: config.pacePerSecond,
      log,
    }),
    audit: new AuditLog(database, log),
    sealer: new AuditSealer({
      ...{ database, dataDir, retentionDays, onProblem, log },
      hash: hash('audit'),
    }),
  }
}
