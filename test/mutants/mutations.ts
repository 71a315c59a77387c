import type { Mutation } from './mutation.ts'
import { ACCESS_MUTATIONS } from './mutations-access.ts'
import { CLAIM_MUTATIONS } from './mutations-claim.ts'
import { CLIENT_MUTATIONS } from './mutations-client.ts'
import { COMMIT_MUTATIONS } from './mutations-commit.ts'
import { DELIVERY_MUTATIONS } from './mutations-deliveries.ts'
import { EVENT_MUTATIONS } from './mutations-events.ts'
import { FAILOVER_MUTATIONS } from './mutations-failover.ts'
import { INFRA_MUTATIONS } from './mutations-infra.ts'
import { INSIDER_MUTATIONS } from './mutations-insiders.ts'
import { JOURNAL_MUTATIONS } from './mutations-journal.ts'
import { MACHINE_MUTATIONS } from './mutations-machine.ts'
import { ONBOARDING_MUTATIONS } from './mutations-onboarding.ts'
import { REAUTH_MUTATIONS } from './mutations-reauth.ts'
import { SECRET_MUTATIONS } from './mutations-secrets.ts'
import { SEND_MUTATIONS } from './mutations-send.ts'
import { SERVICE_MUTATIONS } from './mutations-service.ts'
import { STRANGERS_MUTATIONS } from './mutations-strangers.ts'

/** Every guard of the refresh and of the access to it, with the tests that must fail without it. */
export const MUTATIONS: Mutation[] = [
  ...CLAIM_MUTATIONS,
  ...SEND_MUTATIONS,
  ...COMMIT_MUTATIONS,
  ...JOURNAL_MUTATIONS,
  ...REAUTH_MUTATIONS,
  ...SERVICE_MUTATIONS,
  ...ACCESS_MUTATIONS,
  ...SECRET_MUTATIONS,
  ...INSIDER_MUTATIONS,
  ...MACHINE_MUTATIONS,
  ...CLIENT_MUTATIONS,
  ...INFRA_MUTATIONS,
  ...FAILOVER_MUTATIONS,
  ...ONBOARDING_MUTATIONS,
  ...STRANGERS_MUTATIONS,
  ...DELIVERY_MUTATIONS,
  ...EVENT_MUTATIONS,
]
