import type { Mutation } from './mutation.ts'
import { ACCESS_MUTATIONS } from './mutations-access.ts'
import { CLAIM_MUTATIONS } from './mutations-claim.ts'
import { COMMIT_MUTATIONS } from './mutations-commit.ts'
import { SERVICE_MUTATIONS } from './mutations-service.ts'
import { VERDICT_MUTATIONS } from './mutations-verdict.ts'

/** Every guard of the refresh and of the access to it, with what must notice when it is gone. */
export const MUTATIONS: Mutation[] = [
  ...CLAIM_MUTATIONS,
  ...COMMIT_MUTATIONS,
  ...VERDICT_MUTATIONS,
  ...SERVICE_MUTATIONS,
  ...ACCESS_MUTATIONS,
]
