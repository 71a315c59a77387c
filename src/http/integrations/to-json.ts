import type { Static } from 'typebox'
import type { IntegrationSchema, ProfileSchema } from '../../contract/integrations.ts'
import type { Integration } from '../../integrations/integration.ts'
import { explainFailure } from '../../provider/failures.ts'
import type { Profile } from '../../provider/profile-table.ts'

/** Renders an integration, without its secrets. */
export function integrationToJson(integration: Integration): Static<typeof IntegrationSchema> {
  const { lastErrorCode: code, lastErrorAt } = integration
  return {
    name: integration.name,
    provider: integration.provider,
    client_id: integration.clientId,
    redirect_uri: integration.redirectUri,
    accepts_installs: integration.acceptsInstalls,
    external: integration.external,
    provisional_until: integration.provisionalUntil?.toISOString() ?? null,
    has_next_client_secret: integration.hasNextSecret,
    profile: profileToJson(integration.profile),
    sandbox_origin: integration.sandboxOrigin,
    state: integration.state,
    state_reason: integration.stateReason,
    last_error:
      code === null
        ? null
        : { code, at: lastErrorAt?.toISOString() ?? null, ...explainFailure(code) },
    breakers: integration.breakers.map(({ key, reason, openedAt, openUntil }) => ({
      key,
      reason,
      opened_at: openedAt.toISOString(),
      open_until: openUntil.toISOString(),
    })),
    pace_per_second: integration.pacePerSecond,
  }
}

function profileToJson(profile: Profile): Static<typeof ProfileSchema> {
  return {
    authorize_url: profile.authorizeUrl,
    authorize_parameters: { ...profile.authorizeParameters },
    scopes: [...profile.scopes],
    token_url: profile.tokenUrl,
    encoding: profile.encoding,
    probe: profile.probe,
  }
}
