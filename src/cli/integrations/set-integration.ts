import { readFile } from 'node:fs/promises'
import { type Command, Option } from '@commander-js/extra-typings'
import type { Static } from 'typebox'
import type { IntegrationBody, ProfileSchema } from '../../contract/integrations.ts'
import { KOMMO_GUIDE } from '../../contract/kommo-guide.ts'
import { PROVIDER_NAMES, type ProviderName } from '../../provider/profile-table.ts'
import { callBroker } from '../common/broker-api.ts'
import { Failure, UsageError } from '../common/failure.ts'
import { JSON_FLAG } from '../common/options.ts'
import { readSecret } from '../common/secret-input.ts'
import { type Integration, integrationPath, showIntegrations } from './integration-view.ts'

type Body = Static<typeof IntegrationBody>
type Profile = Static<typeof ProfileSchema>

interface SetOptions {
  provider?: ProviderName | undefined
  clientId?: string | undefined
  redirectUri?: string | undefined
  acceptInstalls?: boolean | undefined
  sandboxOrigin?: string | undefined
  profile?: string | undefined
  kommoGuide?: true | undefined
  secret?: true | undefined
}

/** Defines `integrations set`. */
export function defineSet(command: Command): void {
  command
    .argument('<integration>', 'its name: lower-case letters, digits and -')
    .addOption(new Option('--provider <provider>', 'its platform').choices(PROVIDER_NAMES))
    .option('--client-id <id>', 'integration ID at the platform')
    .option('--redirect-uri <uri>', 'exactly as entered at the platform')
    .option('--accept-installs', 'accept installations inside the CRM, which carry no state')
    .option('--no-accept-installs', 'accept connect links only')
    .option('--sandbox-origin <origin>', 'use this sandbox, never the platform; cannot be changed')
    .option('--profile <file>', 'JSON: authorize_url, scopes, token_url, encoding, probe')
    .option('--kommo-guide', "the Kommo guide's URLs: kommo.com/oauth/token, sent as a form")
    .option('--secret', 'give a new client secret')
    .option(...JSON_FLAG)
    .addHelpText(
      'after',
      `
Options that are not given keep their value. The client secret is read from a
prompt, from standard input or from CLIENT_SECRET: for a new integration, with
--secret, and to confirm a change of the redirect URI or of a profile URL (the
present one).

Example:
  $ amo-broker integrations set kommo --provider kommo --kommo-guide \\
      --client-id 2a5c1463-43dd-4ccc-abd0-79516f785e57 --redirect-uri \\
      https://broker.example.com/integrations/kommo/oauth/callback`,
    )
    .action(async (name, { json, ...options }) => {
      const known = await findIntegration(name)
      const body = await bodyOf(known, options)
      if (options.secret || known === undefined || movesHosts(known, body)) {
        const isNew = known === undefined || options.secret
        const label = isNew ? 'Client secret' : 'Present client secret'
        body.client_secret = await readSecret({ variable: 'CLIENT_SECRET', label })
      }
      const path = integrationPath(name)
      showIntegrations([await callBroker<Integration>('PUT', path, { body })], json)
    })
}

async function findIntegration(name: string): Promise<Integration | undefined> {
  try {
    return await callBroker<Integration>('GET', integrationPath(name))
  } catch (error) {
    if (error instanceof Failure && error.extras.code === 'integration_not_found') return undefined
    throw error
  }
}

/** Fills in the present values for options that were not given. */
async function bodyOf(known: Integration | undefined, options: SetOptions): Promise<Body> {
  const provider = options.provider ?? known?.provider
  const client_id = options.clientId ?? known?.client_id
  const redirect_uri = options.redirectUri ?? known?.redirect_uri
  if (provider === undefined || client_id === undefined || redirect_uri === undefined) {
    throw new UsageError('a new integration needs --provider, --client-id and --redirect-uri')
  }
  const guide = options.kommoGuide ? KOMMO_GUIDE : {}
  const given = options.profile === undefined ? {} : await readProfile(options.profile)
  return {
    provider,
    client_id,
    redirect_uri,
    accepts_installs: options.acceptInstalls ?? known?.accepts_installs ?? false,
    sandbox_origin: options.sandboxOrigin ?? known?.sandbox_origin ?? null,
    profile: { ...known?.profile, ...guide, ...given },
  }
}

async function readProfile(file: string): Promise<Profile> {
  const text = await readFile(file, 'utf8')
  try {
    return JSON.parse(text)
  } catch {
    throw new Failure(`${file} is not valid JSON`)
  }
}

function movesHosts(known: Integration, { redirect_uri, profile }: Body): boolean {
  return (
    known.redirect_uri !== redirect_uri ||
    known.profile.authorize_url !== profile?.authorize_url ||
    known.profile.token_url !== profile?.token_url
  )
}
