import type { Generated } from 'kysely'
import type { GeneratedTime } from './generated-time.ts'

/** Which deployment owns the database, and which replicas run. */
export interface DeploymentTables {
  amo_schema: {
    onlyRow: Generated<boolean>
    oldestVersion: string
  }
  amo_deployment: {
    onlyRow: Generated<boolean>
    deploymentId: string
    rootSecret: string
    usedKeys: Generated<string[]>
    createdAt: GeneratedTime
  }
  amo_replicas: {
    owner: string
    startedAt: GeneratedTime
    beatAt: Date
  }
}
