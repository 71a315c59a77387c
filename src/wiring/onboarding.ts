import type { ConnectLinks } from '../connect-links/links.ts'
import type { AccountKey } from '../lib/account-key.ts'
import { createOnboardingCounter } from '../monitoring/onboarding-metrics.ts'
import { CallbackKeeper } from '../onboarding/callback-keeper.ts'
import { CallbackPlaces } from '../onboarding/callback-places.ts'
import { CallbackSpool } from '../onboarding/callback-spool.ts'
import { CodeResponses } from '../onboarding/code-responses.ts'
import { DisconnectHooks } from '../onboarding/disconnect.ts'
import { DisconnectInbox } from '../onboarding/disconnect-inbox.ts'
import { Exchanges } from '../onboarding/exchanges.ts'
import { ExpectedInstalls } from '../onboarding/expected-installs.ts'
import { Inbox } from '../onboarding/inbox.ts'
import { OnboardingRetention } from '../onboarding/retention.ts'
import { Onboarding } from '../onboarding/service.ts'
import { recheckAfterDisconnect } from '../refresh/recheck.ts'
import type { KeyedHash } from '../vault/keyed-hash.ts'
import type { Foundation } from './foundation.ts'
import type { Refreshing } from './refreshing.ts'

/** Puts together the ways in: callbacks, exchanges for an API key, imports and disconnects. */
export function wireOnboarding(
  foundation: Foundation,
  { context }: Refreshing,
  links: ConnectLinks,
  linkHash: KeyedHash,
) {
  const { common, config, health, owner, keyRing, spool, commitContext, hash } = foundation
  const { sendsFor, metrics, credentials } = foundation
  const { database, heartbeat, integrations, log } = common
  const states = hash('connect-state')
  const onEnd = createOnboardingCounter(metrics)
  const exchanges = new Exchanges({ ...common, hash: hash('exchange-user'), states, onEnd })
  const codeResponses = new CodeResponses(spool, keyRing, log)
  const keeper = new CallbackKeeper({
    spool: new CallbackSpool(spool, keyRing, log),
    places: new CallbackPlaces(),
    expectedInstalls: new ExpectedInstalls(integrations, config.dataDir),
    heartbeat,
    onTurnedAway(kind) {
      // Anyone can send calls that no integration expects.
      if (kind === 'unexpected') return log.warn({ kind }, 'callback found no place on disk')
      health.onTurnedAway()
      log.error({ kind }, 'callback found no place on disk')
    },
  })
  const worker = { owner, deploymentId: sendsFor }
  const { fingerprints } = commitContext
  const inbox = new Inbox({ database, keyRing, fingerprints, worker, onEnd })
  const disconnectHash = hash('disconnect-hook')
  return {
    exchanges,
    buttons: { database, integrations, links, linkHash, states },
    secrets: { ...common, keyRing, states },
    onboarding: new Onboarding({
      validation: { integrations, links, exchanges, states },
      keeper,
      inbox,
      exchange: { database, heartbeat, log, inbox, credentials, codeResponses },
      confirmation: { inbox, credentials, links, commitContext, log },
      unproven: { database, integrations, worker, log },
      onEnd,
    }),
    retention: new OnboardingRetention(database, log),
    disconnects: new DisconnectHooks({
      database,
      integrations,
      log,
      inbox: new DisconnectInbox({ database, heartbeat, hash: disconnectHash, owner }),
      examine: (key: AccountKey) => recheckAfterDisconnect(context, key),
    }),
  }
}
