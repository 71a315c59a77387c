import type { Configuration } from 'openid-client'
import type { OpenIdConfig } from '../config/open-id.ts'
import type { Identity } from '../db/tables/access.ts'
import { BrokerError } from '../lib/errors.ts'

const SCOPE = 'openid email profile'
/** Limit for each call of the provider. */
const TIMEOUT_SECONDS = 10
/** Names that the audit accepts (sql/202611260440_console_sessions.sql). */
const PERSON = /^[a-z0-9][a-z0-9._+-]{0,62}@[a-z0-9.-]{1,100}$/

/** What a browser keeps between the start and the end of a sign-in. */
export interface PendingSignIn {
  verifier: string
  state: string
  nonce: string
}

/** Signs people in through an OpenID Connect provider: authorization code with PKCE and nonce. */
export class OpenIdSignIn {
  readonly #config: OpenIdConfig
  readonly #redirectUri: string
  #discovered: Promise<Configuration> | undefined

  constructor(config: OpenIdConfig, consoleUrl: string) {
    this.#config = config
    this.#redirectUri = `${consoleUrl}/console/sign-in/oidc/callback`
  }

  /** Returns where to send the browser, and what it must keep. Throws `provider_unavailable`. */
  async begin(): Promise<{ url: string; pending: PendingSignIn }> {
    const oidc = await loadClient()
    const provider = await this.#discover()
    const verifier = oidc.randomPKCECodeVerifier()
    const pending = { verifier, state: oidc.randomState(), nonce: oidc.randomNonce() }
    const url = oidc.buildAuthorizationUrl(provider, {
      redirect_uri: this.#redirectUri,
      scope: SCOPE,
      code_challenge: await oidc.calculatePKCECodeChallenge(verifier),
      code_challenge_method: 'S256',
      state: pending.state,
      nonce: pending.nonce,
    })
    return { url: url.href, pending }
  }

  /**
   * Exchanges the code of a callback. openid-client checks state, nonce, issuer, audience, expiry
   * and signature of the ID token. Throws `unauthorized` when any of them is wrong, and `forbidden`
   * when the claim gives no role.
   */
  async finish(query: string, { verifier, state, nonce }: PendingSignIn): Promise<Identity> {
    const oidc = await loadClient()
    const provider = await this.#discover()
    const url = new URL(`${this.#redirectUri}?${query}`)
    const checks = {
      pkceCodeVerifier: verifier,
      expectedState: state,
      expectedNonce: nonce,
      idTokenExpected: true,
    }
    const claims = await oidc
      .authorizationCodeGrant(provider, url, checks)
      .then((tokens) => tokens.claims())
      .catch((cause: unknown) => {
        const detail = 'The provider’s answer was not accepted.'
        const remedy = 'Sign in again. If it fails again, look at the broker’s log.'
        throw new BrokerError('unauthorized', detail, { cause, members: { remedy } })
      })
    return this.#identityOf(claims ?? { sub: '' })
  }

  #identityOf(claims: Readonly<Record<string, unknown>>): Identity {
    const { roleClaim, issuer } = this.#config
    const roles = [claims[roleClaim]].flat()
    const role = (['operator', 'monitor'] as const).find((each) => roles.includes(each))
    const name = personOf(claims, new URL(issuer).hostname)
    if (role === undefined || !PERSON.test(name)) {
      const detail = role === undefined ? 'You have no role here.' : 'Your name cannot be recorded.'
      const remedy = `The claim ${roleClaim} of your ID token must contain operator or monitor.`
      throw new BrokerError('forbidden', detail, { members: { remedy } })
    }
    return { kind: 'person', name, role, keyId: null, keyHash: null }
  }

  /** A failed discovery is tried again by the next sign-in. */
  #discover(): Promise<Configuration> {
    const { issuer, clientId, clientSecret } = this.#config
    const isPlain = issuer.startsWith('http:')
    this.#discovered ??= loadClient()
      .then((oidc) =>
        oidc.discovery(new URL(issuer), clientId, clientSecret.reveal(), undefined, {
          timeout: TIMEOUT_SECONDS,
          // Settings accept plain http for loopback only.
          ...(isPlain ? { execute: [oidc.allowInsecureRequests] } : {}),
        }),
      )
      .catch((cause: unknown) => {
        this.#discovered = undefined
        throw new BrokerError('provider_unavailable', 'The sign-in provider does not answer.', {
          cause,
          members: { remedy: 'Sign in with a key, or check OIDC_ISSUER.' },
        })
      })
    return this.#discovered
  }
}

/** Loads the client library when somebody signs in. */
function loadClient() {
  return import('openid-client')
}

/** Returns the e-mail address if the provider has verified it, otherwise the subject. */
function personOf(claims: Readonly<Record<string, unknown>>, host: string): string {
  const { email, email_verified, sub } = claims
  if (typeof email === 'string' && email_verified === true) return email.toLowerCase()
  const subject = String(sub).toLowerCase()
  return subject.includes('@') ? subject : `${subject}@${host}`
}
