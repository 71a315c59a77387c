import { Command } from '@commander-js/extra-typings'
import packageJson from '../../package.json' with { type: 'json' }
import { accountCommands } from './accounts.ts'
import { auditCommands } from './audit.ts'
import { checkCommand } from './check.ts'
import { clientCommands } from './clients.ts'
import { databaseCommands } from './database.ts'
import { doctorCommand } from './doctor.ts'
import { exchangeApiKeyCommand } from './exchange-api-key.ts'
import { exchangeCodeCommand } from './exchange-code.ts'
import { integrationCommands } from './integrations.ts'
import { onboardingCommands } from './onboarding.ts'
import { projectCommands } from './project.ts'

const HELP = `
The commands speak to the broker's internal listener:
  BROKER_URL   such as http://127.0.0.1:3000 (default: INTERNAL_HOST and INTERNAL_PORT of this machine)
  BROKER_KEY   a client's key, mostly of the role operator (default, on the broker's own machine: its OPERATOR_KEY)
  BROKER_CLIENT_CERT, BROKER_CLIENT_KEY   PEM files, where it asks for certificates; its authority: NODE_EXTRA_CA_CERTS
migrate, reseal, verify, adopt, audit verify and doctor read the broker's own settings and database instead.

Exit code 0: done, or all is well; 1: it failed, or something is not well; 2: the command line is wrong.
Secrets are never arguments: they are asked for, or read from standard input, or from the environment.

Examples:
  $ amo-broker connect --integration amocrm             a link for the account's administrator
  $ amo-broker accounts list --status reauth_required   who has to authorize again
  $ amo-broker check kwid                               does its token work
  $ amo-broker doctor                                   is the broker set up well`

/** Every command. What a command works with is loaded when it is run: help and mistakes cost nothing. */
export function buildProgram(): Command {
  const program = new Command('amo-broker')
    .description('Operates the amo token broker.')
    .version(packageJson.version)
    .showHelpAfterError('(--help tells what there is)')
    .configureHelp({ showGlobalOptions: false })
    .exitOverride()
    .addHelpText('after', HELP)
  accountCommands(program)
  checkCommand(program)
  onboardingCommands(program)
  exchangeCodeCommand(program)
  exchangeApiKeyCommand(program)
  integrationCommands(program)
  clientCommands(program)
  auditCommands(program)
  doctorCommand(program)
  databaseCommands(program)
  projectCommands(program)
  return program
}
