import { setTimeout as delay } from 'node:timers/promises'
import { Agent, request } from 'undici'
import { createPrng } from '../../src/sandbox/prng.ts'
import type { Sandbox } from '../../src/sandbox/sandbox.ts'
import type { SandboxAccount } from '../support/sandbox-accounts.ts'
import type { Answers } from './answers.ts'
import { codeOf, isInContract } from './error-contract.ts'
import type { Read } from './read.ts'
import type { Replica } from './replica.ts'

export interface CallersSetup {
  sandbox: Sandbox
  replicas: Replica[]
  subjects: SandboxAccount[]
  operatorKey: string
  answers: Answers
  seed: number
  violation: (kind: ViolationKind, text: string) => void
}

export type ViolationKind = 'dead' | 'response' | 'generation'

const REQUEST_LIMIT_MS = 15_000
/** A reader waits a second for a refresh. The rest allows for a busy machine. */
const RESPONSE_LIMIT_MS = 8_000
/** The token is used this long before its promise ends, the time that the request may need. */
const LAST_USE_MS = 40
const PAUSE_MS = 1_000
/** Share of the reads. */
const REPORT_SHARE = 0.02

/**
 * Imitates sibling services: asks for tokens and keeps each until its `use_until`. Checks at the
 * provider that the token is alive, on arrival and just before its promise ends.
 */
export class Callers {
  readonly reads: Read[] = []
  readonly errorCounts = new Map<string, number>()
  /**
   * Accounts whose tokens the harness has killed, and the end of the time in which that excuses a
   * dead token.
   */
  readonly early = new Map<number, number>()
  /** Accounts that may be missing at the moment. */
  readonly removed = new Set<number>()
  earlyDeaths = 0
  /** Tokens of living grants that were dead before their promise ended, and reported as such. */
  readonly brokenPromises = new Set<number>()
  /** Number of uses of tokens that were promised to be alive. */
  checked = 0
  broken = 0
  readonly #setup: CallersSetup
  readonly #agent = new Agent({ connections: 100, pipelining: 1 })
  /** The access token of each generation that a caller has seen. */
  readonly #tokens = new Map<number, string>()
  readonly #promises = new Map<string, { useUntilMs: number; timer: NodeJS.Timeout }>()
  readonly #closing = new AbortController()
  #running: Promise<void>[] = []

  constructor(setup: CallersSetup) {
    this.#setup = setup
  }

  start(count: number): void {
    const begun = this.#running.length
    const more = Array.from({ length: count }, (_, index) => this.#run(begun + index))
    this.#running.push(...more)
  }

  async stop(): Promise<void> {
    this.#closing.abort()
    await Promise.all(this.#running)
    for (const { timer } of this.#promises.values()) clearTimeout(timer)
    await this.#agent.destroy()
  }

  async #run(nth: number): Promise<void> {
    const random = createPrng(this.#setup.seed + nth)
    const { signal } = this.#closing
    while (!signal.aborted) {
      await this.#ask(random)
      await delay(PAUSE_MS * (0.5 + random()), undefined, { signal }).catch(() => {})
    }
  }

  async #ask(random: () => number): Promise<void> {
    const { replicas, subjects } = this.#setup
    const up = replicas.filter(({ isUp }) => isUp)
    const replica = up[Math.floor(random() * up.length)]
    const subject = subjects[Math.floor(random() * subjects.length)]
    if (replica === undefined || subject === undefined) return
    const query = random() < 0.1 ? '&min_ttl=5' : ''
    const path = `/tokens/${subject.accountId}?integration=${subject.integration}${query}`
    const read = await this.#read(replica, subject, 'GET', path)
    if (read === undefined) return
    if (read.isDead || random() < REPORT_SHARE) {
      const body = JSON.stringify({ generation: read.generation })
      const report = `/tokens/${subject.accountId}/refresh?integration=${subject.integration}`
      const isBroken = read.isDead && Date.now() < read.useUntilMs && this.#isGranted(subject)
      const newer = await this.#read(replica, subject, 'POST', report, body)
      if (isBroken && newer !== undefined) this.brokenPromises.add(read.generation)
    }
  }

  async #read(
    replica: Replica,
    subject: SandboxAccount,
    method: 'GET' | 'POST',
    path: string,
    body: string | null = null,
  ): Promise<Read | undefined> {
    const askedAtMs = Date.now()
    try {
      const answer = await request(replica.url + path, {
        method,
        body,
        headers: {
          authorization: `Bearer ${this.#setup.operatorKey}`,
          ...(body === null ? {} : { 'content-type': 'application/json' }),
        },
        dispatcher: this.#agent,
        headersTimeout: REQUEST_LIMIT_MS,
        bodyTimeout: REQUEST_LIMIT_MS,
      })
      const text = await answer.body.text()
      if (method === 'GET') this.#setup.answers.note(replica.name, answer.statusCode)
      const tookMs = Date.now() - askedAtMs
      if (tookMs > RESPONSE_LIMIT_MS && !replica.wasDisturbedSince(askedAtMs)) {
        this.#violate('response', `${method} ${path} took ${tookMs} ms at ${replica.name}`)
      }
      const type = String(answer.headers['content-type'])
      if (answer.statusCode !== 200) {
        const what = `${method} ${path} at ${replica.name}`
        // A process that was stopped finds its time limit over before it reads the request.
        const wasStopped = answer.statusCode === 408 && replica.wasDisturbedSince(askedAtMs)
        if (!wasStopped) this.#checkError(subject, what, answer.statusCode, type, text)
        return undefined
      }
      return this.#checkToken(replica, subject, { text, askedAtMs, tookMs })
    } catch (error) {
      if (method === 'GET') this.#setup.answers.unanswered += 1
      this.#checkSilence(replica, askedAtMs, `${method} ${path}`, error)
      return undefined
    }
  }

  #checkToken(
    replica: Replica,
    subject: SandboxAccount,
    { text, askedAtMs, tookMs }: { text: string; askedAtMs: number; tookMs: number },
  ): Read {
    const token = JSON.parse(text)
    const read: Read = {
      account: subject.accountId,
      replica: replica.name,
      generation: token.generation,
      askedAtMs,
      tookMs,
      useUntilMs: token.use_for === 0 ? 0 : Date.parse(token.use_until),
      isStale: token.stale === true,
      isDead: !this.#isAlive(token.access_token),
    }
    this.reads.push(read)
    if (token.account_id !== subject.accountId) {
      this.#violate(
        'response',
        `asked for ${subject.accountId}, got a token of ${token.account_id}`,
      )
    }
    const known = this.#tokens.get(token.generation) ?? token.access_token
    this.#tokens.set(token.generation, known)
    if (known !== token.access_token) {
      this.#violate('generation', `${this.#name(read)} stands for two tokens`)
    }
    if (Date.parse(token.expires_at) < askedAtMs - 1_000) {
      this.#violate('dead', `${this.#name(read)} had expired at ${token.expires_at}`)
    }
    if (Date.now() < read.useUntilMs) this.#use(read, token.access_token, 'on arrival')
    this.#keep(read, token.access_token)
    return read
  }

  /** Uses the token once more, just before its promise ends. */
  #keep(read: Read, token: string): void {
    const known = this.#promises.get(token)
    if (known !== undefined && known.useUntilMs >= read.useUntilMs) return
    clearTimeout(known?.timer)
    const inMs = read.useUntilMs - LAST_USE_MS - Date.now()
    if (inMs <= 0) return
    const timer = setTimeout(() => {
      this.#promises.delete(token)
      if (Date.now() < read.useUntilMs) this.#use(read, token, 'before its end')
    }, inMs)
    this.#promises.set(token, { useUntilMs: read.useUntilMs, timer })
  }

  #use(read: Read, token: string, when: string): void {
    this.checked += 1
    if (this.#isAlive(token)) return
    if ((this.early.get(read.account) ?? 0) > read.askedAtMs) {
      this.earlyDeaths += 1
      return
    }
    const leftMs = read.useUntilMs - Date.now()
    this.#violate('dead', `${this.#name(read)} was dead ${when}, ${leftMs} ms before use_until`)
  }

  #name({ account, generation, replica, isStale }: Read): string {
    return `token of ${account}, generation ${generation}, from ${replica}${isStale ? ', stale,' : ''}`
  }

  #isAlive(token: string): boolean {
    return this.#setup.sandbox.world.grants.findAccess(token)?.state === 'live'
  }

  #isGranted({ account, client }: SandboxAccount): boolean {
    const { grants } = this.#setup.sandbox.world
    return grants.liveRefreshTokens(account, client.clientId).length > 0
  }

  #checkError(
    { accountId }: SandboxAccount,
    what: string,
    status: number,
    type: string,
    text: string,
  ): void {
    const code = codeOf(type, text)
    this.errorCounts.set(code ?? `${status}`, (this.errorCounts.get(code ?? `${status}`) ?? 0) + 1)
    if (!isInContract(code, status, this.removed.has(accountId))) {
      this.#violate('response', `${what}: ${status} ${type} ${text.slice(0, 300)}`)
    }
  }

  /** No response: only a replica that no fault has touched must respond. */
  #checkSilence(replica: Replica, askedAtMs: number, what: string, error: unknown): void {
    if (this.#closing.signal.aborted) return
    this.broken += 1
    // The effect of a fault on the replica may show a moment later.
    setTimeout(() => {
      if (replica.wasDisturbedSince(askedAtMs)) return
      const reason = error instanceof Error ? error.message : String(error)
      this.#violate('response', `${what} got no response from ${replica.name}: ${reason}`)
    }, 200)
  }

  #violate(kind: ViolationKind, text: string): void {
    this.#setup.violation(kind, text)
  }
}
