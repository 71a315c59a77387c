import { readFile } from 'node:fs/promises'
import { type Command, Option } from '@commander-js/extra-typings'
import type { Static } from 'typebox'
import type { IntegrationBody, IntegrationSchema, ProfileSchema } from '../integrations/schemas.ts'
import { callBroker } from './api.ts'
import { Failure, UsageError } from './failure.ts'
import { JSON_FLAG } from './options.ts'
import { readSecret } from './secret-input.ts'

export type Integration = Static<typeof IntegrationSchema>
type Body = Static<typeof IntegrationBody>
type Profile = Static<typeof ProfileSchema>

/** Of the Kommo guide: its authorize URL, its token URL, its way to send a form. */
const KOMMO_GUIDE: Profile = {
  authorize_url: 'https://kommo.com/oauth',
  authorize_parameters: { redirect_uri: '{redirect_uri}', response_type: 'code' },
  scopes: ['crm', 'leads', 'contacts', 'tasks'].flatMap((each) => [
    `${each}:read`,
    `${each}:write`,
  ]),
  token_url: 'https://kommo.com/oauth/token',
  encoding: 'form',
}

interface SetOptions {
  provider?: 'amocrm' | 'kommo' | undefined
  clientId?: string | undefined
  redirectUri?: string | undefined
  acceptInstalls?: boolean | undefined
  sandboxOrigin?: string | undefined
  profile?: string | undefined
  kommoGuide?: true | undefined
  secret?: true | undefined
}

/** `integrations set` */
export function setCommand(
  integrations: Command,
  show: (integrations: Integration[], json: true | undefined) => void,
): void {
  integrations
    .command('set')
    .description('makes an integration, or changes what is given of one')
    .argument('<integration>', 'its name: small letters, digits and -')
    .addOption(
      new Option('--provider <provider>', 'its platform').choices(['amocrm', 'kommo'] as const),
    )
    .option('--client-id <id>', 'its ID at the platform')
    .option('--redirect-uri <uri>', 'byte for byte as at the platform')
    .option('--accept-installs', 'takes installations inside the CRM, which carry no state')
    .option('--no-accept-installs', 'takes connect links alone')
    .option('--sandbox-origin <origin>', 'talks to this sandbox for ever, never to the platform')
    .option('--profile <file>', 'JSON: authorize_url, scopes, token_url, encoding, probe …')
    .option('--kommo-guide', 'the URLs of the Kommo guide: kommo.com/oauth/token, sent as a form')
    .option('--secret', 'gives another client secret, too')
    .option(...JSON_FLAG)
    .addHelpText(
      'after',
      `
The client secret is asked for, or read from standard input or CLIENT_SECRET: of a new integration; with --secret; and the
present one where the redirect URI or a URL of the profile changes.

Example:
  $ amo-broker integrations set kommo --provider kommo --client-id 2a5c1463-43dd-4ccc-abd0-79516f785e57 \\
      --redirect-uri https://broker.example.com/integrations/kommo/oauth/callback --kommo-guide`,
    )
    .action(async (name, { json, ...options }) => {
      const known = await findIntegration(name)
      const body = await bodyOf(known, options)
      if (options.secret || known === undefined || movesHosts(known, body)) {
        const label =
          known === undefined || options.secret ? 'Client secret' : 'Present client secret'
        body.client_secret = await readSecret({ variable: 'CLIENT_SECRET', label })
      }
      show([await callBroker<Integration>('PUT', integrationPath(name), { body })], json)
    })
}

export function integrationPath(name: string): string {
  if (name === '') throw new UsageError('the name of the integration is empty')
  return `/integrations/${encodeURIComponent(name)}`
}

async function findIntegration(name: string): Promise<Integration | undefined> {
  try {
    return await callBroker<Integration>('GET', integrationPath(name))
  } catch (error) {
    if (error instanceof Failure && error.extras.code === 'integration_not_found') return undefined
    throw error
  }
}

/** What is not given stays as it is. */
async function bodyOf(known: Integration | undefined, options: SetOptions): Promise<Body> {
  const provider = options.provider ?? platformOf(known)
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

function platformOf(known: Integration | undefined): 'amocrm' | 'kommo' | undefined {
  const provider = known?.provider
  if (provider === 'custom') throw new Failure('a custom integration is set by the environment')
  return provider
}

async function readProfile(file: string): Promise<Profile> {
  const text = await readFile(file, 'utf8')
  try {
    return JSON.parse(text)
  } catch {
    throw new Failure(`${file} is no JSON`)
  }
}

function movesHosts(known: Integration, { redirect_uri, profile }: Body): boolean {
  return (
    known.redirect_uri !== redirect_uri ||
    known.profile.authorize_url !== profile?.authorize_url ||
    known.profile.token_url !== profile?.token_url
  )
}
