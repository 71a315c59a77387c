/** The API calls that remedies name, and the command that makes each of them. */
const COMMANDS: readonly [call: string, command: string][] = [
  ['POST /connect-links', 'amo-broker connect'],
  ['GET /connect-links', 'amo-broker links list'],
  ['POST /accounts/import', 'amo-broker accounts import'],
  ['POST /accounts/exchange-api-key', 'amo-broker exchange-api-key'],
  ['POST /accounts/:account/approve', 'amo-broker accounts approve'],
  ['POST /tokens/:account/refresh', 'amo-broker accounts refresh'],
  ['POST /clients/:client/keys', 'amo-broker clients add-key'],
  ['PUT /integrations/:integration', 'amo-broker integrations set'],
  ['DELETE /accounts/:account', 'amo-broker accounts remove'],
  ['GET /accounts/:account', 'amo-broker accounts show'],
  ['GET /health/ready', 'amo-broker doctor'],
  ['GET /onboardings', 'amo-broker onboardings'],
  ['GET /clients', 'amo-broker clients list'],
  ['PATCH /endpoints/:endpoint', 'amo-broker endpoints change'],
  ['POST /endpoints/:endpoint/enable', 'amo-broker endpoints enable'],
  ['GET /endpoints/:endpoint/deliveries', 'amo-broker endpoints deliveries'],
  ['GET /endpoints', 'amo-broker endpoints list'],
  ['POST /clients', 'amo-broker clients create'],
  ['GET /integrations', 'amo-broker integrations list'],
  ['GET /docs', 'amo-broker --help'],
]

/** Rewordings for remedies that explain how to write an HTTP request. */
const REWORDED: readonly [from: RegExp, to: string][] = [
  [
    /send If-Match with the generation that GET \/accounts\/:account shows/,
    'run amo-broker accounts import again with --replace',
  ],
  [/send If-Match with `generation`/, 'run amo-broker accounts import again with --replace'],
  [/with If-Match and without shadow/, 'with --replace and without --shadow'],
  [/with If-Match \(POST \/accounts\/import\)/, 'with --replace (amo-broker accounts import)'],
  [/Correct \?integration=/, 'Correct --integration'],
  [
    /Send "Authorization: Bearer <key>" with a key of this broker/,
    'Set BROKER_KEY to a valid key of this broker; amo-broker clients create makes one',
  ],
  [/Ask an operator for a grant on this account/, 'Ask an operator: amo-broker clients grant'],
  [/POST \/tokens\/:account\/refresh with its generation/, 'amo-broker accounts refresh <account>'],
  [
    /Set AMO_CLIENT_ID, .* and start again/,
    'amo-broker integrations list shows the names, and integrations set creates one',
  ],
  [/Add \?integration=/, 'Add --integration <name>'],
  [/Send client_secret along:/, 'Add --secret and give the present client secret:'],
]

/** Replaces the API calls in a remedy of the broker with the commands to type. */
export function nameCommands(remedy: string): string {
  const reworded = REWORDED.reduce((text, [from, to]) => text.replace(from, to), remedy)
  return COMMANDS.reduce((text, [call, command]) => text.replaceAll(call, command), reworded)
}
