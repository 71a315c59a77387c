import type { Static } from 'typebox'
import type { IntegrationBody, ProfileSchema } from '../../contract/integrations.ts'
import type { IntegrationOrder, ProfileOverrides } from '../../integrations/edit.ts'
import { Secret } from '../../vault/secret.ts'

/** Converts the body of a request into an order of the service. */
export function orderFrom(body: Static<typeof IntegrationBody>): IntegrationOrder {
  return {
    provider: body.provider,
    clientId: body.client_id,
    clientSecret: body.client_secret === undefined ? undefined : new Secret(body.client_secret),
    redirectUri: body.redirect_uri,
    acceptsInstalls: body.accepts_installs ?? false,
    sandboxOrigin: body.sandbox_origin ?? null,
    profile: overridesFrom(body.profile),
  }
}

/** Converts the profile of a request. */
export function overridesFrom(profile: Static<typeof ProfileSchema> | undefined): ProfileOverrides {
  const { authorize_url, authorize_parameters, token_url, ...same } = profile ?? {}
  return {
    ...same,
    ...(authorize_url === undefined ? {} : { authorizeUrl: authorize_url }),
    ...(authorize_parameters === undefined ? {} : { authorizeParameters: authorize_parameters }),
    ...(token_url === undefined ? {} : { tokenUrl: token_url }),
  }
}
