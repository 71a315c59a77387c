import type { Static } from 'typebox'
import type { ProfileSchema } from './integrations.ts'

/** The Kommo guide's authorize URL, token URL, scopes and encoding. */
export const KOMMO_GUIDE: Static<typeof ProfileSchema> = {
  authorize_url: 'https://kommo.com/oauth',
  authorize_parameters: { redirect_uri: '{redirect_uri}', response_type: 'code' },
  scopes: ['crm', 'leads', 'contacts', 'tasks'].flatMap((each) => [
    `${each}:read`,
    `${each}:write`,
  ]),
  token_url: 'https://kommo.com/oauth/token',
  encoding: 'form',
}
