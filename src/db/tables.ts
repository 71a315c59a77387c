import type { Selectable } from 'kysely'
import type { AccessTables } from './tables/access.ts'
import type { AccountTables } from './tables/accounts.ts'
import type { AuditTables } from './tables/audit.ts'
import type { BreakerTables } from './tables/breakers.ts'
import type { DeliveryTables } from './tables/deliveries.ts'
import type { DeploymentTables } from './tables/deployment.ts'
import type { EventTables } from './tables/events.ts'
import type { IntegrationTables } from './tables/integrations.ts'
import type { OnboardingTables } from './tables/onboarding.ts'
import type { RefreshAttemptTables } from './tables/refresh-attempts.ts'

/** The tables of `sql/`, for Kysely. Each column is explained there. */
export interface Tables
  extends DeploymentTables,
    IntegrationTables,
    AccountTables,
    RefreshAttemptTables,
    BreakerTables,
    OnboardingTables,
    AccessTables,
    AuditTables,
    EventTables,
    DeliveryTables {}

/** A row of a table, as a query returns it. */
export type Row<Table extends keyof Tables> = Selectable<Tables[Table]>
