import { CallFailed, type CallRequest, type CallResponse } from '../../../src/provider/call.ts'
import type { Actor, Move } from './actor.ts'
import { REFUSALS, REVOKED, readRequest } from './provider-answers.ts'
import type { SendMonitor } from './send-monitor.ts'
import type { VirtualTime } from './virtual-time.ts'
import { answerMoves, type WrittenRequest } from './written-request.ts'

const LIFETIME_SECONDS = 600

interface Grant {
  refreshToken: string
  accessToken: string
  isAlive: boolean
  /** In the order in which the provider issued them. */
  order: number
}

/**
 * A model of the provider (docs/provider.md, parts 3 and 4). A refresh token works once and is
 * spent before the response is written. The access token of the old pair dies with it. A probe
 * spends nothing. A request may be processed long after its client has gone. A response may be
 * lost, cut or replaced.
 */
export class ProviderModel {
  readonly #accountId: number
  readonly #time: VirtualTime
  readonly #monitor: SendMonitor
  readonly #grants: Grant[] = []
  readonly #requests = new Set<WrittenRequest>()

  constructor(accountId: number, time: VirtualTime, monitor: SendMonitor) {
    this.#accountId = accountId
    this.#time = time
    this.#monitor = monitor
  }

  /** Builds a new pair as the token endpoint writes it. */
  mint(): Grant & { body: string } {
    const order = this.#grants.length
    const issuedAt = Math.floor(this.#time.originMs / 1000) + order
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

  /** The engine's call. An arrow function, because the actors get it as a value. */
  readonly receive = (actor: Actor, request: CallRequest): Promise<CallResponse> => {
    const { name, token } = readRequest(request)
    return actor.stand<CallResponse>(name, ({ resolve, reject }) => [
      {
        name: 'written',
        weight: 10,
        make: () => {
          try {
            request.beforeWrite?.()
          } catch (error) {
            return reject(error instanceof Error ? error : new Error('not written'))
          }
          const written: WrittenRequest = {
            actor,
            name,
            token,
            isGone: false,
            send: name === 'send' ? this.#monitor.onSent(token, actor.name) : undefined,
            askedAtMs: this.#time.nowMs,
            answer: undefined,
            end: (answer) => {
              this.#requests.delete(written)
              if (!actor.isDead) this.#monitor.onAnswered(written, answer)
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

  #sendMoves(request: WrittenRequest): Move[] {
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

  #process(request: WrittenRequest): void {
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

  #probeMoves(request: WrittenRequest): Move[] {
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

  #deny(request: WrittenRequest): void {
    this.#monitor.denied.add(request.token)
    request.end(REVOKED)
  }

  #found(): CallResponse {
    const body = JSON.stringify({ id: this.#accountId, domain: 'a.amocrm.ru' })
    return { ...REVOKED, status: 200, contentType: 'application/json', body }
  }
}
