import { Command } from '@commander-js/extra-typings'
import packageJson from '../../package.json' with { type: 'json' }
import { reportFailure } from './common/failure.ts'

/** Adds arguments, options and subcommands to a command that has its name and summary already. */
type Define = (command: Command) => void

interface Entry {
  name: string
  summary: string
  load(): Promise<Define>
}

const ACCOUNTS: Entry[] = [
  {
    name: 'connect',
    summary: 'print a link that leads an administrator to the consent page',
    load: async () => (await import('./onboarding/connect.ts')).defineConnect,
  },
  {
    name: 'reconnect',
    summary: 'print a link for each account that needs a new consent',
    load: async () => (await import('./onboarding/reconnect.ts')).defineReconnect,
  },
  {
    name: 'links',
    summary: 'list connect links and what became of them, or withdraw one',
    load: async () => (await import('./onboarding/links.ts')).defineLinks,
  },
  {
    name: 'onboardings',
    summary: 'list recent attempts to connect an account and their outcome',
    load: async () => (await import('./onboarding/onboardings.ts')).defineOnboardings,
  },
  {
    name: 'exchange-code',
    summary: 'connect an account with an authorization code that you have',
    load: async () => (await import('./onboarding/exchange-code.ts')).defineExchangeCode,
  },
  {
    name: 'exchange-api-key',
    summary: "connect an account with an administrator's login and API key",
    load: async () => (await import('./onboarding/exchange-api-key.ts')).defineExchangeApiKey,
  },
  {
    name: 'accounts',
    summary: 'list, show, refresh, pause, import or remove accounts',
    load: async () => (await import('./accounts/accounts.ts')).defineAccounts,
  },
  {
    name: 'check',
    summary: "call an account's API with its token",
    load: async () => (await import('./accounts/check-account.ts')).defineCheck,
  },
]

const BROKER: Entry[] = [
  {
    name: 'integrations',
    summary: 'list, create, change, pause or remove integrations',
    load: async () => (await import('./integrations/integrations.ts')).defineIntegrations,
  },
  {
    name: 'clients',
    summary: 'manage the services that read tokens: keys, roles, grants',
    load: async () => (await import('./clients/clients.ts')).defineClients,
  },
  {
    name: 'endpoints',
    summary: 'send events to webhooks, Telegram and Slack',
    load: async () => (await import('./endpoints/endpoints.ts')).defineEndpoints,
  },
  {
    name: 'console',
    summary: 'print a link that signs you in to the console, once',
    load: async () => (await import('./console/console.ts')).defineConsole,
  },
  {
    name: 'events',
    summary: 'list what happened, or watch it happen',
    load: async () => (await import('./events/events.ts')).defineEvents,
  },
  {
    name: 'audit',
    summary: 'list who did what, or verify the audit chain',
    load: async () => (await import('./audit/audit.ts')).defineAudit,
  },
]

const OWN_MACHINE: Entry[] = [
  {
    name: 'doctor',
    summary: 'examine settings, storage, network and load, and suggest fixes',
    load: async () => (await import('./doctor/doctor.ts')).defineDoctor,
  },
  {
    name: 'migrate',
    summary: 'bring the database to the newest schema',
    load: async () => (await import('./database/migrate.ts')).defineMigrate,
  },
  {
    name: 'reseal',
    summary: 're-encrypt everything with the first key of ENCRYPTION_KEYS',
    load: async () => (await import('./database/reseal.ts')).defineReseal,
  },
  {
    name: 'verify',
    summary: "probe every account's refresh token without spending it",
    load: async () => (await import('./database/verify-tokens.ts')).defineVerify,
  },
  {
    name: 'escrow',
    summary: 'show the escrow, or restore it over a backup',
    load: async () => (await import('./escrow/escrow.ts')).defineEscrow,
  },
  {
    name: 'drill',
    summary: 'show what a restore of the escrow would cost now',
    load: async () => (await import('./escrow/drill.ts')).defineDrill,
  },
  {
    name: 'history',
    summary: 'verify what the brokers recorded about refreshes',
    load: async () => (await import('./database/history.ts')).defineHistory,
  },
  {
    name: 'adopt',
    summary: 'bind a moved or restored database to this deployment',
    load: async () => (await import('./database/adopt.ts')).defineAdopt,
  },
]

const PROJECT: Entry[] = [
  {
    name: 'keygen',
    summary: 'generate ENCRYPTION_KEYS, OPERATOR_KEY and DEPLOYMENT_ID',
    load: async () => (await import('./project/keygen.ts')).defineKeygen,
  },
  {
    name: 'demo',
    summary: 'run a broker and a sandbox provider, with one connected account',
    load: async () => (await import('./project/demo.ts')).defineDemo,
  },
  {
    name: 'openapi',
    summary: 'write the OpenAPI documents of both listeners',
    load: async () => (await import('./project/openapi.ts')).defineOpenapi,
  },
]

const PROJECT_HEADING = 'Without a broker:'

const GROUPS: [heading: string, entries: Entry[]][] = [
  ['Accounts:', ACCOUNTS],
  ['Broker:', BROKER],
  ["On the broker's own machine (these read its settings and database):", OWN_MACHINE],
  [PROJECT_HEADING, PROJECT],
]

const HELP = `
Environment:
  BROKER_URL   URL of the broker's internal listener, such as
               http://127.0.0.1:3000 (default: INTERNAL_HOST and INTERNAL_PORT
               on this machine)
  BROKER_KEY   key of a client, usually with the role operator (default on the
               broker's own machine: OPERATOR_KEY)
  BROKER_CLIENT_CERT, BROKER_CLIENT_KEY
               PEM files, if the broker requires client certificates; its
               certificate authority goes into NODE_EXTRA_CA_CERTS

Secrets are never arguments. They are read from a prompt, from standard input or
from the environment. Every command except demo and console prints JSON with
--json.

Exit codes: 0 success; 1 failure, or a problem was found; 2 wrong command line.

Examples:
  $ amo-broker connect --integration amocrm
  $ amo-broker accounts list --status reauth_required
  $ amo-broker check acme
  $ amo-broker accounts import --help`

/** Runs one command line, without the program's name. Returns the exit code. */
export async function runCommandLine(args: string[]): Promise<number> {
  try {
    readEnvFile()
    const words = args.filter((word) => !word.startsWith('-'))
    const wanted = words[0] === 'help' ? words[1] : words[0]
    const program = await buildProgram((name) => name === wanted)
    await program.parseAsync(args, { from: 'user' })
    // Commands that found a problem have set it.
    return Number(process.exitCode ?? 0)
  } catch (error) {
    return reportFailure(error)
  }
}

/**
 * Builds the program with all commands by name and summary. Loads the code of those that `isWanted`
 * accepts: a command line uses one of them.
 */
export async function buildProgram(isWanted: (name: string) => boolean): Promise<Command> {
  const program = new Command('amo-broker')
    .description('Operates the amo token broker.')
    .version(packageJson.version)
    .showHelpAfterError('Add --help to see how it is used.')
    .configureHelp({ showGlobalOptions: false, subcommandTerm: (command) => command.name() })
    // Of the "help" command, which commander adds.
    .commandsGroup(PROJECT_HEADING)
    .helpCommand(true)
    .exitOverride()
    .addHelpText('after', HELP)
  for (const [heading, entries] of GROUPS) {
    for (const { name, summary, load } of entries) {
      const command = program.command(name).description(summary).helpGroup(heading)
      if (isWanted(name)) (await load())(command)
    }
  }
  return program
}

/** Reads `.env` in the working directory, as `npm start` does. Existing variables win. */
function readEnvFile(): void {
  try {
    process.loadEnvFile()
  } catch (error) {
    if ((error as { code?: string }).code !== 'ENOENT') throw error
  }
}
