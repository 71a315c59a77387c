/** What a listener's document says about the API as a whole. */
export interface Introduction {
  title: string
  description: string
  servers: { url: string; description: string }[]
  tags: { name: string; description: string }[]
}

const TAGS = {
  tokens: 'What a service needs: read the token that is valid now, report one that got a 401.',
  accounts: 'The state of the connected accounts, and what operators do with one.',
  onboarding: 'The ways in which an account is connected.',
  integrations: 'Client ids, secrets and redirect URIs at amoCRM and Kommo.',
  clients: 'The services that may call the broker: keys, roles, grants.',
  events: 'What happened: pages of events, and a stream.',
  endpoints: 'Where events are delivered: webhooks, Telegram, Slack.',
  audit: 'Who did what.',
  console: 'Sign-in to the pages for operators.',
  health: 'For load balancers and monitoring.',
}

export const INTERNAL: Introduction = {
  title: 'amo token broker',
  description: `Keeps the OAuth tokens of many amoCRM and Kommo accounts alive, and hands out the one that is valid
now. This is the internal listener. It is for your services, operators and monitoring.

**Read a token** with the key of your service, and call the CRM with it:

\`\`\`sh
curl -H "Authorization: Bearer $BROKER_KEY" http://127.0.0.1:3000/tokens/demo
\`\`\`

1. Keep the token for \`use_for\` seconds, then ask again. With \`use_for: 0\` keep nothing.
2. If the CRM answers 401 all the same, send \`POST /tokens/{account}/refresh\` with the
   \`generation\` once, and repeat the call with the token of the response.
3. 409 means that a person has to act: \`code\` and \`remedy\` say what to do. After 429 and 503 ask
   again in \`Retry-After\` seconds.

**Keys** are created by operators. A \`reader\` gets the tokens of its grants, a \`monitor\` sees states
and no tokens, an \`operator\` may do everything. **Errors** are problem documents (RFC 9457).`,
  servers: serversAt('http://127.0.0.1:3000', 'INTERNAL_HOST and INTERNAL_PORT'),
  tags: tagsOf(
    'tokens',
    'accounts',
    'onboarding',
    'integrations',
    'clients',
    'events',
    'endpoints',
    'audit',
    'console',
    'health',
  ),
}

export const PUBLIC: Introduction = {
  title: 'amo token broker, public listener',
  description: `What browsers of account administrators and the servers of amoCRM and Kommo call: connect links,
callbacks and hooks. No call needs a key, and none returns a token. An ingress exposes only this
listener.`,
  servers: serversAt('http://127.0.0.1:3001', 'PUBLIC_HOST and PUBLIC_PORT'),
  tags: tagsOf('onboarding', 'health'),
}

/** Swagger UI takes the first server: where the page itself comes from. */
function serversAt(url: string, settings: string): Introduction['servers'] {
  return [
    { url: '/', description: 'the broker that serves this document' },
    { url, description: `the default of ${settings}` },
  ]
}

function tagsOf(...names: (keyof typeof TAGS)[]): Introduction['tags'] {
  return names.map((name) => ({ name, description: TAGS[name] }))
}
