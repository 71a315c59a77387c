import { brownOut } from './brown-out.ts'
import { copiedDatabase } from './copied-database.ts'
import { crash } from './crash.ts'
import { failover } from './failover.ts'
import { oldBackup } from './old-backup.ts'
import { rollingRestart } from './rolling-restart.ts'
import type { Scenario } from './scenario.ts'

/** Scenarios that need their own database and servers. They run one after the other. */
export const SCENARIOS: Scenario[] = [
  brownOut,
  copiedDatabase,
  oldBackup,
  rollingRestart,
  crash,
  failover,
]
