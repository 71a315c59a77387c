import { parseArgs } from 'node:util'
import {
  isProviderName,
  PROFILES,
  PROVIDER_NAMES,
  type ProviderName,
} from '../provider/profile-table.ts'
import type { AccountSeed, IntegrationSeed, SandboxOptions } from './options.ts'
import { scenarios } from './scenarios.ts'

export const HELP = `Usage: amo-sandbox [options]

Imitates amoCRM and Kommo on this machine: consent page, token endpoint, API. All in memory.
The Host header selects the account. http://127.0.0.1:3002/__sandbox/ shows the activity.

  --port <port>          default 3002 (SANDBOX_PORT); 0 chooses a free one
  --host <address>       default 127.0.0.1 (SANDBOX_HOST)
  --account <p:name>     amocrm:demo or kommo:demo; may be given more than once
                         (SANDBOX_ACCOUNTS=amocrm:demo,kommo:demo)
  --leads <number>       leads of each account, default 3
  --access-ttl <s>       life of access tokens in seconds, default 86400 (SANDBOX_ACCESS_TTL)
  --refresh-ttl <s>      life of refresh tokens, default 7776000 (SANDBOX_REFRESH_TTL)
  --code-ttl <s>         life of codes, default 1200 (SANDBOX_CODE_TTL)
  --no-limits            no limit on calls (SANDBOX_RATE_LIMITS=off). With limits, all clients of
                         one integration share 7 calls a second, as at the provider. Calls over
                         the limit get 429, and then all get 403, the broker's included
  --old-access-survives  the old access token stays valid after a refresh
                         (SANDBOX_OLD_ACCESS_SURVIVES=1)
  --scenario <name>      ${[...scenarios]
    .map(([name, { needsPair }]) => (needsPair ? undefined : name))
    .filter(Boolean)
    .join(', ')}; for all accounts, may be given more than once.
                         Others need a connected account: POST /__sandbox/scenarios/<name>
  --seed <number>        for faults with a probability: the same seed gives the same run, default 1
  --https                serve https with a self-made certificate (SANDBOX_HTTPS=1)
  --ca-file <file>       file for the authority to trust, default ./amo-sandbox-ca.pem
  --callback-origin <o>  target of the calls of the provider's own server
                         (SANDBOX_CALLBACK_ORIGIN)
  --help

Integrations come from AMO_CLIENT_ID, AMO_CLIENT_SECRET, AMO_REDIRECT_URI and KOMMO_…, the names
of the broker's settings. Without them each platform gets an invented one.

Scenarios
${[...scenarios].map(([name, { does }]) => `  ${name.padEnd(9)} ${does}`).join('\n')}`

/** Thrown when the command line or the environment is wrong. The message names the place. */
export class SandboxUsageError extends Error {
  override readonly name = 'SandboxUsageError'
}

export interface CommandLine {
  isHelp: boolean
  host: string
  port: number
  https: boolean
  caFile: string
  scenarios: string[]
  options: SandboxOptions
}

type Env = Record<string, string | undefined>

/** Reads options and environment. Options take precedence. Throws SandboxUsageError. */
export function readCommandLine(args: string[], env: Env): CommandLine {
  const values = parse(args)
  const number = (option: string, variable: string, fallback: number) =>
    wholeNumber(values[option] ?? env[variable], `--${option}`, fallback)
  const chosen = listOf(values.scenario)
  for (const name of chosen) checkScenario(name)
  const accounts = listOf(values.account)
  const named = accounts.length > 0 ? accounts : list(env.SANDBOX_ACCOUNTS)
  const isUnlimited = values['no-limits'] === true || env.SANDBOX_RATE_LIMITS === 'off'
  const callbackOrigin = textOf(values['callback-origin']) ?? env.SANDBOX_CALLBACK_ORIGIN
  return {
    isHelp: values.help === true,
    host: textOf(values.host) ?? env.SANDBOX_HOST ?? '127.0.0.1',
    port: number('port', 'SANDBOX_PORT', 3_002),
    https: values.https === true || env.SANDBOX_HTTPS === '1',
    caFile: textOf(values['ca-file']) ?? 'amo-sandbox-ca.pem',
    scenarios: chosen,
    options: {
      integrations: PROVIDER_NAMES.map((name) => integrationOf(env, name)),
      accounts: named.map((entry) => accountOf(entry, number('leads', 'SANDBOX_LEADS', 3))),
      accessTtlSeconds: number('access-ttl', 'SANDBOX_ACCESS_TTL', 86_400),
      refreshTtlSeconds: number('refresh-ttl', 'SANDBOX_REFRESH_TTL', 90 * 86_400),
      codeTtlSeconds: number('code-ttl', 'SANDBOX_CODE_TTL', 20 * 60),
      oldAccessTokenSurvives:
        values['old-access-survives'] === true || env.SANDBOX_OLD_ACCESS_SURVIVES === '1',
      seed: number('seed', 'SANDBOX_SEED', 1),
      ...(isUnlimited ? { limits: false as const } : {}),
      ...(callbackOrigin === undefined ? {} : { callbackOrigin }),
    },
  }
}

function parse(args: string[]): Record<string, string | boolean | string[] | undefined> {
  const text = { type: 'string' } as const
  const flag = { type: 'boolean' } as const
  try {
    const { values } = parseArgs({
      args,
      options: {
        port: text,
        host: text,
        account: { type: 'string', multiple: true },
        leads: text,
        'access-ttl': text,
        'refresh-ttl': text,
        'code-ttl': text,
        'no-limits': flag,
        'old-access-survives': flag,
        scenario: { type: 'string', multiple: true },
        seed: text,
        https: flag,
        'ca-file': text,
        'callback-origin': text,
        help: { type: 'boolean', short: 'h' },
      },
    })
    return values
  } catch (error) {
    throw new SandboxUsageError(error instanceof Error ? error.message : String(error))
  }
}

function checkScenario(name: string): void {
  const scenario = scenarios.get(name)
  if (scenario === undefined) {
    const names = [...scenarios.keys()].join(', ')
    throw new SandboxUsageError(`--scenario: ${name} is none of ${names}`)
  }
  if (scenario.needsPair) {
    const how = `connect an account, then POST /__sandbox/scenarios/${name}`
    throw new SandboxUsageError(`--scenario ${name} changes tokens that exist: ${how}`)
  }
}

/** Reads the broker's own settings, so that both can be started with one environment. */
function integrationOf(env: Env, platform: ProviderName): IntegrationSeed {
  const { envPrefix: prefix, platformNumber, sandbox } = PROFILES[platform]
  const madeUpId = `00000000-0000-4000-8000-${platformNumber.padStart(12, '0')}`
  return {
    platform,
    clientId: env[`${prefix}_CLIENT_ID`] || madeUpId,
    clientSecret: env[`${prefix}_CLIENT_SECRET`] || `sandbox-secret-${platform}`,
    redirectUri: env[`${prefix}_REDIRECT_URI`] || `http://127.0.0.1:3001${sandbox.callbackPath}`,
    name: `Sandbox ${platform}`,
  }
}

function accountOf(entry: string, leads: number): AccountSeed {
  const [platform = '', subdomain] = entry.trim().split(':')
  if (!isProviderName(platform) || !subdomain) {
    throw new SandboxUsageError(`account ${entry} is not platform:subdomain, such as amocrm:demo`)
  }
  return { platform, subdomain, leads }
}

function list(text = PROVIDER_NAMES.map((name) => `${name}:demo`).join()): string[] {
  return text.split(',')
}

function listOf(value: unknown): string[] {
  return Array.isArray(value) ? value.map(String) : []
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined
}

function wholeNumber(value: unknown, name: string, fallback: number): number {
  const number = Number(value ?? fallback)
  if (value === '' || !Number.isInteger(number) || number < 0) {
    throw new SandboxUsageError(`${name} must be a whole number`)
  }
  return number
}
