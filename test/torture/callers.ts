import { setTimeout as delay } from 'node:timers/promises'
import { Agent, request } from 'undici'
import { ERRORS } from '../../src/errors.ts'
import { createPrng } from '../../src/sandbox/prng.ts'
import type { Sandbox } from '../../src/sandbox/sandbox.ts'
import type { Subject } from '../support/subjects.ts'
import type { Replica } from './replica.ts'

/** A token that a caller got. */
export interface Read {
  account: number
  replica: string
  generation: number
  /** Before the request was sent. */
  askedAtMs: number
  tookMs: number
  /** 0 when nothing is promised: to be used at once. */
  useUntilMs: number
  isStale: boolean
  /** The provider refused it at the moment it arrived. */
  isDead: boolean
}

export interface CallersSetup {
  sandbox: Sandbox
  replicas: Replica[]
  subjects: Subject[]
  operatorKey: string
  seed: number
  violation: (kind: ViolationKind, text: string) => void
}

export type ViolationKind = 'dead' | 'answer'

const REQUEST_LIMIT_MS = 15_000
/** A reader waits a second for a refresh; a busy machine is no violation. */
const ANSWER_LIMIT_MS = 8_000
/** Before the end of the promise: the request that uses the token is on its way then. */
const LAST_USE_MS = 40
const PAUSE_MS = 1_000
/** Of the reads. */
const REPORT_SHARE = 0.02

/** What a healthy broker may say to somebody who has all rights, instead of a token. */
const CONTRACT_CODES = new Set([
  'reauth_required',
  'disconnected',
  'refresh_pending',
  'provider_unavailable',
  'storage_unavailable',
  'too_many_reports',
])

/**
 * Sibling services: they ask for tokens, keep each until its `use_until`, and find out at the provider whether it lives, when
 * they get it and just before its promise ends.
 */
export class Callers {
  readonly reads: Read[] = []
  readonly errorCounts = new Map<string, number>()
  /** Accounts whose tokens the harness itself has killed, and until when that is an excuse. */
  readonly early = new Map<number, number>()
  /** Accounts that may be missing just now. */
  readonly removed = new Set<number>()
  earlyDeaths = 0
  /** Tokens used when they were promised to live. */
  checked = 0
  broken = 0
  readonly #setup: CallersSetup
  readonly #agent = new Agent({ connections: 100, pipelining: 1 })
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
      await this.#read(replica, subject, 'POST', report, body)
    }
  }

  async #read(
    replica: Replica,
    subject: Subject,
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
      const tookMs = Date.now() - askedAtMs
      if (tookMs > ANSWER_LIMIT_MS && !replica.wasDisturbedSince(askedAtMs)) {
        this.#violate('answer', `${method} ${path} took ${tookMs} ms at ${replica.name}`)
      }
      const type = String(answer.headers['content-type'])
      if (answer.statusCode !== 200) {
        this.#judgeError(
          subject,
          `${method} ${path} at ${replica.name}`,
          answer.statusCode,
          type,
          text,
        )
        return undefined
      }
      return this.#judgeToken(replica, subject, { text, askedAtMs, tookMs })
    } catch (error) {
      this.#judgeSilence(replica, askedAtMs, `${method} ${path}`, error)
      return undefined
    }
  }

  #judgeToken(
    replica: Replica,
    subject: Subject,
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
      this.#violate('answer', `asked for ${subject.accountId}, got a token of ${token.account_id}`)
    }
    if (Date.parse(token.expires_at) < askedAtMs - 1_000) {
      this.#violate('dead', `${this.#name(read)} had expired at ${token.expires_at}`)
    }
    if (Date.now() < read.useUntilMs) this.#use(read, token.access_token, 'on arrival')
    this.#keep(read, token.access_token)
    return read
  }

  /** Uses it once more, just before its promise ends. */
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

  #judgeError(
    { accountId }: Subject,
    what: string,
    status: number,
    type: string,
    text: string,
  ): void {
    const code = type.includes('application/problem+json') ? codeOf(text) : undefined
    this.errorCounts.set(code ?? `${status}`, (this.errorCounts.get(code ?? `${status}`) ?? 0) + 1)
    const isMissing = code === 'account_not_found' && this.removed.has(accountId)
    const isKnown = code !== undefined && CONTRACT_CODES.has(code)
    const fits = Object.entries(ERRORS).some(([name, [its]]) => name === code && its === status)
    if (!fits || !(isKnown || isMissing)) {
      this.#violate('answer', `${what}: ${status} ${type} ${text.slice(0, 300)}`)
    }
  }

  /** No answer at all: only a replica that nobody has touched owes one. */
  #judgeSilence(replica: Replica, askedAtMs: number, what: string, error: unknown): void {
    if (this.#closing.signal.aborted) return
    this.broken += 1
    // What the harness did to it may show there a moment later.
    setTimeout(() => {
      if (replica.wasDisturbedSince(askedAtMs)) return
      const reason = error instanceof Error ? error.message : String(error)
      this.#violate('answer', `${what} got no answer from ${replica.name}: ${reason}`)
    }, 200)
  }

  #violate(kind: ViolationKind, text: string): void {
    this.#setup.violation(kind, text)
  }
}

function codeOf(text: string): string | undefined {
  try {
    const { code } = JSON.parse(text)
    return typeof code === 'string' ? code : undefined
  } catch {
    return undefined
  }
}
