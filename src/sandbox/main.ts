import closeWithGrace from 'close-with-grace'
import { domainOf } from './directory.ts'
import type { Platform } from './hosts.ts'
import type { AccountSeed, IntegrationSeed } from './options.ts'
import { buildSandbox } from './sandbox.ts'

// The process behind `npm run sandbox`. Settings, all optional:
//   SANDBOX_HOST=127.0.0.1  SANDBOX_PORT=3002
//   SANDBOX_ACCESS_TTL, SANDBOX_REFRESH_TTL, SANDBOX_CODE_TTL   seconds
//   SANDBOX_RATE_LIMITS=off   SANDBOX_OLD_ACCESS_SURVIVES=1
//   SANDBOX_ACCOUNTS=amocrm:demo,kommo:demo
//   SANDBOX_CALLBACK_ORIGIN=http://127.0.0.1:3001   where the server's own calls connect
//   AMO_CLIENT_ID, AMO_CLIENT_SECRET, AMO_REDIRECT_URI, and KOMMO_…: the broker's own names, so
//   that both can be started with one environment. Without them: the made-up ones below.

const { env } = process

const sandbox = await buildSandbox({
  integrations: [
    integrationOf(
      'amocrm',
      'AMO',
      '00000000-0000-4000-8000-000000000001',
      '/api/v1/integrations/amo-crm/callback',
    ),
    integrationOf(
      'kommo',
      'KOMMO',
      '00000000-0000-4000-8000-000000000002',
      '/integrations/kommo/oauth/callback',
    ),
  ],
  accounts: accountsOf(env.SANDBOX_ACCOUNTS ?? 'amocrm:demo,kommo:demo'),
  accessTtlSeconds: wholeNumber('SANDBOX_ACCESS_TTL', 86_400),
  refreshTtlSeconds: wholeNumber('SANDBOX_REFRESH_TTL', 90 * 86_400),
  codeTtlSeconds: wholeNumber('SANDBOX_CODE_TTL', 20 * 60),
  oldAccessTokenSurvives: env.SANDBOX_OLD_ACCESS_SURVIVES === '1',
  ...(env.SANDBOX_RATE_LIMITS === 'off' ? { limits: false } : {}),
  ...(env.SANDBOX_CALLBACK_ORIGIN ? { callbackOrigin: env.SANDBOX_CALLBACK_ORIGIN } : {}),
})

closeWithGrace({ delay: 5_000 }, async ({ err }) => {
  if (err) console.error(err)
  await sandbox.close()
})

const port = wholeNumber('SANDBOX_PORT', 3_002)
const origin = await sandbox.listen({ port, host: env.SANDBOX_HOST ?? '127.0.0.1' })
console.log(`sandbox of amoCRM and Kommo on ${origin}, page ${origin}/__sandbox/`)
for (const { platform, clientId, redirectUri } of sandbox.world.directory.integrations.values()) {
  console.log(`  integration ${platform} ${clientId} -> ${redirectUri}`)
}
for (const account of sandbox.world.directory.accounts.values()) {
  console.log(`  account ${domainOf(account)} (${account.accountId})`)
}

function integrationOf(
  platform: Platform,
  prefix: 'AMO' | 'KOMMO',
  madeUpId: string,
  path: string,
): IntegrationSeed {
  return {
    platform,
    clientId: env[`${prefix}_CLIENT_ID`] ?? madeUpId,
    clientSecret: env[`${prefix}_CLIENT_SECRET`] ?? `sandbox-secret-${platform}`,
    redirectUri: env[`${prefix}_REDIRECT_URI`] ?? `http://127.0.0.1:3001${path}`,
    name: `Sandbox ${platform}`,
  }
}

function accountsOf(list: string): AccountSeed[] {
  return list.split(',').map((entry) => {
    const [platform, subdomain] = entry.trim().split(':')
    if ((platform !== 'amocrm' && platform !== 'kommo') || !subdomain) {
      throw new Error(`SANDBOX_ACCOUNTS: ${entry} is not platform:subdomain`)
    }
    return { platform, subdomain, leads: 3 }
  })
}

function wholeNumber(name: string, fallback: number): number {
  const value = Number(env[name] ?? fallback)
  if (!Number.isInteger(value) || value < 0) throw new Error(`${name} must be a whole number`)
  return value
}
