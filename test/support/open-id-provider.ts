import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Provider } from 'oidc-provider'
import type { TeardownScope } from './teardown-scope.ts'

export const OIDC_CLIENT_ID = 'amo-token-broker'
export const OIDC_CLIENT_SECRET = 'canary-oidc-secret'

export interface OpenIdProvider {
  issuer: string
  /** Claims of the person who signs in next. */
  person: Record<string, unknown>
  /** Changes the claims of the next ID token, after which it is signed again. */
  tamper: ((claims: Record<string, unknown>) => Record<string, unknown>) | undefined
}

/** Starts an OpenID Connect provider on loopback, with one client and a person who consents. */
export async function startOpenIdProvider(
  t: TeardownScope,
  redirectUri: string,
): Promise<OpenIdProvider> {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const jwk = { ...privateKey.export({ format: 'jwk' }), use: 'sig', alg: 'RS256', kid: 'test' }
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const state: OpenIdProvider = { issuer, person: {}, tamper: undefined }
  const provider = new Provider(issuer, {
    clients: [
      {
        client_id: OIDC_CLIENT_ID,
        client_secret: OIDC_CLIENT_SECRET,
        redirect_uris: [redirectUri],
        token_endpoint_auth_method: 'client_secret_post',
      },
    ],
    jwks: { keys: [jwk] },
    cookies: { keys: ['not a secret'] },
    conformIdTokenClaims: false,
    claims: { openid: ['sub', 'email', 'email_verified', 'roles'] },
    pkce: { required: () => true },
    findAccount: (_context: unknown, sub: string) => ({
      accountId: sub,
      claims: () => ({ sub, ...state.person }),
    }),
  })
  // Signs the ID token again: what a wrong, a confused or a malicious provider would send.
  provider.use(async (context, next) => {
    await next()
    const body = context.body as { id_token?: string } | undefined
    if (context.path !== '/token' || state.tamper === undefined || !body?.id_token) return
    const [, payload = ''] = body.id_token.split('.')
    const claims = state.tamper(JSON.parse(Buffer.from(payload, 'base64url').toString()))
    body.id_token = signJwt(claims, privateKey)
  })
  server.on('request', provider.callback())
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  return state
}

/**
 * Signs in at the provider as a person would, through its development pages.
 *
 * @returns the URL of the callback
 */
export async function signInAtProvider(url: string, callback: string): Promise<string> {
  const cookies = new Map<string, string>()
  const ask = async (target: string, body?: URLSearchParams): Promise<Response> => {
    const cookie = [...cookies].map(([name, value]) => `${name}=${value}`).join('; ')
    const init = { redirect: 'manual', headers: { cookie } } as const
    const response = await fetch(
      target,
      body === undefined ? init : { ...init, method: 'POST', body },
    )
    for (const line of response.headers.getSetCookie()) {
      const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(line) ?? []
      cookies.set(name, value)
    }
    return response
  }
  let response = await ask(url)
  for (let steps = 0; steps < 12; steps += 1) {
    const location = response.headers.get('location')
    if (location === null) {
      const text = await response.text()
      const [, action = ''] = /action="([^"]+)"/.exec(text) ?? []
      const [, prompt = ''] = /name="prompt" value="([^"]+)"/.exec(text) ?? []
      response = await ask(
        action,
        new URLSearchParams({ prompt, login: 'person-1', password: 'x' }),
      )
      continue
    }
    const target = new URL(location, url).href
    if (target.startsWith(callback)) return target
    response = await ask(target)
  }
  throw new Error('the provider did not return')
}

function signJwt(claims: object, key: KeyObject): string {
  const encode = (part: object) => Buffer.from(JSON.stringify(part)).toString('base64url')
  const signed = `${encode({ alg: 'RS256', kid: 'test' })}.${encode(claims)}`
  return `${signed}.${sign('RSA-SHA256', Buffer.from(signed), key).toString('base64url')}`
}
