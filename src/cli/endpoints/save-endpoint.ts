import { type Command, Option } from '@commander-js/extra-typings'
import { callBroker } from '../common/broker-api.ts'
import { JSON_FLAG } from '../common/options.ts'
import { readSecret } from '../common/secret-input.ts'
import {
  ENDPOINT_NAME,
  type Endpoint,
  type EndpointWithSecret,
  endpointPath,
  showEndpoint,
  showSecret,
} from './endpoint-view.ts'

const URL_INPUT = { variable: 'ENDPOINT_URL', label: 'URL of the endpoint' }
const TOKEN_INPUT = { variable: 'TELEGRAM_BOT_TOKEN', label: 'token of the bot' }

const TYPES = ['--type <types...>', 'only these types of events (default: all)'] as const
const INTEGRATIONS = ['--integration <names...>', 'only events of these integrations'] as const
const CHAT = ['--chat-id <id>', 'Telegram: id of the chat, or @name of a channel'] as const
const ORIGIN = ['--api-origin <origin>', 'Telegram: your own Bot API server'] as const
const GROUPED = ['--grouped', 'report many lost accounts in one message'] as const
const UNGROUPED = ['--no-grouped', 'each event is a message'] as const

function languageOption() {
  return new Option('--language <language>', 'of messages to Telegram and Slack').choices([
    'en',
    'ru',
    'uk',
    'es',
  ])
}

/** Defines `endpoints create`. */
export function defineCreate(command: Command): void {
  command
    .argument(...ENDPOINT_NAME)
    .addOption(
      new Option('--kind <kind>', 'what it is')
        .choices(['webhook', 'telegram', 'slack'])
        .default('webhook'),
    )
    .option(...CHAT)
    .option(...ORIGIN)
    .addOption(languageOption())
    .option(...TYPES)
    .option(...INTEGRATIONS)
    .option(...GROUPED)
    .option(...UNGROUPED)
    .option(...JSON_FLAG)
    .addHelpText(
      'after',
      `
The URL (ENDPOINT_URL), or the token of a Telegram bot (TELEGRAM_BOT_TOKEN), is
asked for, or read from standard input or the environment. Of a webhook only its
signing secret goes to standard output.

Examples:
  $ amo-broker endpoints create crm-sync > crm-sync.secret
  $ amo-broker endpoints create duty --kind telegram --chat-id -1001234567890 \\
      --language uk --type account.reauth_required integration.halted`,
    )
    .action(async (name, { kind, json, ...options }) => {
      const isBot = kind === 'telegram'
      const secret = await readSecret(isBot ? TOKEN_INPUT : URL_INPUT)
      const target = isBot ? { bot_token: secret } : { url: secret }
      const body = { name, kind, ...target, ...settingsFrom(options) }
      showSecret(await callBroker<EndpointWithSecret>('POST', '/endpoints', { body }), json)
    })
}

/** Defines `endpoints change`. */
export function defineChange(command: Command): void {
  command
    .argument(...ENDPOINT_NAME)
    .option('--url', 'ask for another URL (ENDPOINT_URL)')
    .option('--token', 'ask for another token of the bot (TELEGRAM_BOT_TOKEN)')
    .option(...CHAT)
    .option(...ORIGIN)
    .addOption(languageOption())
    .option(...TYPES)
    .option('--all-types', 'events of every type')
    .option(...INTEGRATIONS)
    .option('--all-integrations', 'events of every integration')
    .option(...GROUPED)
    .option(...UNGROUPED)
    .option(...JSON_FLAG)
    .addHelpText(
      'after',
      '\nExample:\n  $ amo-broker endpoints change duty --language ru --all-types',
    )
    .action(async (name, { url, token, allTypes, allIntegrations, json, ...options }) => {
      const body = {
        ...settingsFrom(options),
        ...(url && { url: await readSecret(URL_INPUT) }),
        ...(token && { bot_token: await readSecret(TOKEN_INPUT) }),
        ...(allTypes && { types: null }),
        ...(allIntegrations && { integrations: null }),
      }
      showEndpoint(await callBroker<Endpoint>('PATCH', endpointPath(name), { body }), json)
    })
}

interface SettingOptions {
  chatId?: string | undefined
  apiOrigin?: string | undefined
  language?: string | undefined
  type?: string[] | undefined
  integration?: string[] | undefined
  grouped?: boolean | undefined
}

function settingsFrom({ chatId, apiOrigin, language, type, integration, grouped }: SettingOptions) {
  return {
    chat_id: chatId,
    api_origin: apiOrigin,
    language,
    types: type,
    integrations: integration,
    grouped,
  }
}
