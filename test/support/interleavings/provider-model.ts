import { type CallAnswer, CallFailed, type CallRequest } from '../../../src/provider/call.ts'
import type { Actor, Move } from './actor.ts'
import type { Clock } from './clock.ts'
import type { Judge } from './judge.ts'
import { REFUSALS, REVOKED, readRequest } from './provider-answers.ts'

export const LIFETIME_SECONDS = 600

interface Grant {
  refreshToken: string
  accessToken: string
  isAlive: boolean
  /** In the order in which the provider issued them. */
  order: number
}

/** A request that was written. `answer` once it is processed; the client may be gone by then, and nobody hears of it. */
interface Request {
  actor: Actor
  name: string
  token: string
  isGone: boolean
  send: number | undefined
  askedAtMs: number
  answer: CallAnswer | undefined
  end(answer: CallAnswer): void
  fail(code: string): void
}

/**
 * The provider (provider page, parts 3 and 4): a refresh token is spent before the answer is written, and works once; the
 * access token of the old pair dies with it; a probe spends nothing. A request may be processed long after its client
 * has gone, and an answer may be lost, cut, or replaced on its way.
 */
export class ProviderModel {
  readonly #accountId: number
  readonly #clock: Clock
  readonly #judge: Judge
  readonly #grants: Grant[] = []
  readonly #requests = new Set<Request>()

  constructor(accountId: number, clock: Clock, judge: Judge) {
    this.#accountId = accountId
    this.#clock = clock
    this.#judge = judge
  }

  /** A new pair, as the token endpoint's answer writes it. */
  mint(): Grant & { body: string } {
    const order = this.#grants.length
    const issuedAt = Math.floor(this.#clock.originMs / 1000) + order
    const claims = {
      account_id: this.#accountId,
      aud: 'id',
      iat: issuedAt,
      exp: issuedAt + LIFETIME_SECONDS,
      api_domain: 'api.amocrm.ru',
    }
    const accessToken = `h.${Buffer.from(JSON.stringify(claims)).toString('base64url')}.s${order}`
    const grant = { refreshToken: `r${order}`, accessToken, isAlive: true, order }
    this.#grants.push(grant)
    const body = JSON.stringify({
      token_type: 'Bearer',
      access_token: accessToken,
      refresh_token: grant.refreshToken,
      expires_in: LIFETIME_SECONDS,
    })
    return { ...grant, body }
  }

  find(refreshToken: string): Grant | undefined {
    return this.#grants.find((grant) => grant.refreshToken === refreshToken)
  }

  /** Every refresh token that was issued. */
  tokens(): string[] {
    return this.#grants.map(({ refreshToken }) => refreshToken)
  }

  isAlive(refreshToken: string): boolean {
    return this.find(refreshToken)?.isAlive === true
  }

  revokeAll(): void {
    for (const grant of this.#grants) grant.isAlive = false
  }

  /** The engine's call. Arrow, for it is handed to the actors. */
  readonly receive = (actor: Actor, request: CallRequest): Promise<CallAnswer> => {
    const { name, token } = readRequest(request)
    return actor.stand<CallAnswer>(name, ({ resolve, reject }) => [
      {
        name: 'written',
        weight: 10,
        make: () => {
          try {
            request.beforeWrite?.()
          } catch (error) {
            return reject(error instanceof Error ? error : new Error('not written'))
          }
          const written: Request = {
            actor,
            name,
            token,
            isGone: false,
            send: name === 'send' ? this.#judge.onSent(token, actor.name) : undefined,
            askedAtMs: this.#clock.nowMs,
            answer: undefined,
            end: (answer) => {
              this.#requests.delete(written)
              if (!actor.isDead) this.#judge.onAnswered(written, answer)
              resolve(answer)
            },
            fail: (code) => {
              written.isGone = true
              reject(new CallFailed(code, true))
            },
          }
          this.#requests.add(written)
        },
      },
      {
        name: 'not connected',
        weight: 1,
        fault: 'network',
        make: () => reject(new CallFailed('ECONNREFUSED', false)),
      },
    ])
  }

  moves(): Move[] {
    for (const request of this.#requests) {
      if (request.actor.isDead) request.isGone = true
      if (request.isGone && request.answer !== undefined) this.#requests.delete(request)
    }
    return [...this.#requests].flatMap((request) =>
      (request.name === 'send' ? this.#sendMoves(request) : this.#probeMoves(request)).map(
        (move) => ({
          ...move,
          name: `provider, ${request.actor.name} ${request.name} ${request.token.split('.').at(-1)}: ${move.name}`,
        }),
      ),
    )
  }

  #sendMoves(request: Request): Move[] {
    const { answer } = request
    if (answer !== undefined) return answerMoves(request, answer)
    const process = { name: 'processed', weight: 10, make: () => this.#process(request) }
    const forget = {
      name: 'never processed',
      weight: 4,
      make: () => void this.#requests.delete(request),
    }
    if (request.isGone) return [process, forget]
    const refusals: Move[] = REFUSALS.map((refusal) => ({
      name: `${refusal.status}`,
      weight: 1,
      fault: 'refusal',
      make: () => request.end(refusal),
    }))
    const wrongly: Move = {
      name: '401 for a good token',
      weight: 1,
      fault: 'lie',
      make: () => this.#deny(request),
    }
    const cut: Move = {
      name: 'connection cut',
      weight: 2,
      fault: 'network',
      make: () => request.fail('ECONNRESET'),
    }
    return [process, ...refusals, wrongly, cut]
  }

  #process(request: Request): void {
    const grant = this.find(request.token)
    request.answer = REVOKED
    if (grant?.isAlive) {
      grant.isAlive = false
      request.answer = {
        ...REVOKED,
        status: 200,
        contentType: 'application/json',
        body: this.mint().body,
      }
    }
    if (request.isGone) this.#requests.delete(request)
  }

  #probeMoves(request: Request): Move[] {
    const isAlive =
      request.name === 'probe'
        ? this.isAlive(request.token)
        : this.#grants.some(({ accessToken, isAlive }) => isAlive && accessToken === request.token)
    const say = (alive: boolean) => request.end(alive ? this.#found() : REVOKED)
    return [
      { name: isAlive ? 'alive' : 'dead', weight: 10, make: () => say(isAlive) },
      {
        name: isAlive ? 'dead, a lie' : 'alive, a lie',
        weight: 1,
        fault: 'lie',
        make: () => (isAlive ? this.#deny(request) : say(true)),
      },
      {
        name: 'no answer',
        weight: 1,
        fault: 'network',
        make: () => {
          this.#requests.delete(request)
          request.fail('ECONNRESET')
        },
      },
    ]
  }

  #deny(request: Request): void {
    this.#judge.denied.add(request.token)
    request.end(REVOKED)
  }

  #found(): CallAnswer {
    const body = JSON.stringify({ id: this.#accountId, domain: 'a.amocrm.ru' })
    return { ...REVOKED, status: 200, contentType: 'application/json', body }
  }
}

/** The ways of an answer that is on its way. */
function answerMoves(request: Request, answer: CallAnswer): Move[] {
  const deliver = (body: string): CallAnswer => ({ ...answer, body, isWhole: false })
  const lose = () => {
    request.end({ ...answer, status: 502, contentType: 'text/html', body: '<h1>502</h1>' })
  }
  return [
    { name: 'answered', weight: 10, make: () => request.end(answer) },
    { name: '502 instead of the answer', weight: 1, fault: 'network', make: lose },
    {
      name: 'answer cut in half',
      weight: 1,
      fault: 'network',
      make: () => request.end(deliver(answer.body.slice(0, answer.body.length / 2))),
    },
    {
      name: 'answer without its end',
      weight: 1,
      fault: 'network',
      make: () => request.end(deliver(answer.body.slice(0, -1))),
    },
  ]
}
