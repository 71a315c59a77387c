import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import type { Redis } from 'ioredis'
import type { Logger } from 'pino'
import { Registry } from 'prom-client'
import { parseAccountNotification } from './accounts/account-key.ts'
import { AccountChecks } from './accounts/checks.ts'
import { EndingWatch } from './accounts/ending.ts'
import { AuditLog } from './audit/log.ts'
import { AuditSealer } from './audit/sealer.ts'
import { ClientDirectory } from './clients/directory.ts'
import { Clients } from './clients/service.ts'
import type { Config } from './config.ts'
import { type Database, openDatabase } from './db/database.ts'
import { bindDeployment, findBoundTo } from './db/deployment.ts'
import { Heartbeat } from './db/heartbeat.ts'
import { migrateToLatest, pendingMigrations } from './db/migrate.ts'
import { openRedis } from './db/redis.ts'
import { Spool } from './db/spool.ts'
import { Health } from './health/service.ts'
import { Integrations } from './integrations/service.ts'
import { Keys } from './keys/service.ts'
import { registerGauges } from './metrics/gauges.ts'
import { createRefreshCounters } from './metrics/refresh-counters.ts'
import type { ButtonsDependencies } from './onboarding/buttons.ts'
import { DisconnectHooks } from './onboarding/disconnect.ts'
import { Exchanges } from './onboarding/exchanges.ts'
import type { ImportDependencies } from './onboarding/import.ts'
import { KeptCallbacks } from './onboarding/kept-callbacks.ts'
import { KeptCodes } from './onboarding/kept-codes.ts'
import { ConnectLinks } from './onboarding/links.ts'
import type { SecretsDependencies } from './onboarding/secrets-hook.ts'
import { Onboarding } from './onboarding/service.ts'
import { examineDisconnect } from './refresh/examine.ts'
import { KeptAnswers } from './refresh/kept-answers.ts'
import { RefreshLock } from './refresh/lock.ts'
import { RedisCopies } from './refresh/redis-copies.ts'
import { Refresher } from './refresh/refresh.ts'
import { Scheduler } from './refresh/scheduler.ts'
import { Sweeper } from './refresh/sweeper.ts'
import { UnderWay } from './refresh/under-way.ts'
import { verifyAccount } from './refresh/verify.ts'
import { Waiters } from './refresh/waiters.ts'
import { TokenCache } from './tokens/cache.ts'
import { TokenLookup } from './tokens/lookup.ts'
import { ReadMarks } from './tokens/read-marks.ts'
import { Tokens } from './tokens/service.ts'
import { type HashPurpose, KeyedHash } from './vault/keyed-hash.ts'
import type { Secret } from './vault/secret.ts'

const START_RETRY_MS = 1_000

/** The broker apart from HTTP: every feature put together, opened in order and closed in the opposite one. */
export class Broker {
  readonly health: Health
  readonly metrics = new Registry()
  readonly database: Database
  readonly redis: Redis | null
  readonly deploymentId: string
  /** Where browsers reach the public listener, if it is set. */
  readonly publicUrl: string | null
  readonly directory: ClientDirectory
  readonly clients: Clients
  readonly audit: AuditLog
  readonly #sealer: AuditSealer
  readonly #keys: Keys
  readonly integrations: Integrations
  readonly links: ConnectLinks
  readonly lookup: TokenLookup
  readonly exchanges: Exchanges
  readonly buttons: ButtonsDependencies
  readonly secrets: SecretsDependencies
  readonly onboarding: Onboarding
  readonly disconnects: DisconnectHooks
  readonly tokens: Tokens
  readonly checks: AccountChecks
  readonly importer: ImportDependencies
  readonly #config: Config
  readonly #log: Logger
  readonly #heartbeat: Heartbeat
  readonly #fingerprints: KeyedHash
  readonly #cache: TokenCache
  readonly #keptAnswers: KeptAnswers
  readonly #marks: ReadMarks
  readonly #endings: EndingWatch
  readonly #waiters = new Waiters()
  readonly #underWay = new UnderWay()
  readonly #refresher: Refresher
  readonly #scheduler: Scheduler
  readonly #sweeper: Sweeper
  readonly #closing = new AbortController()
  #rootSecret: Secret | undefined
  #starting: Promise<void> | undefined

  /** Opens the connections; throws when embedded storage cannot be had. */
  static async open(config: Config, log: Logger): Promise<Broker> {
    const database = await openDatabase(config, log)
    const redis = config.redisUrl === null ? null : await openRedis(config.redisUrl, log)
    return new Broker(config, log, database, redis)
  }

  private constructor(config: Config, log: Logger, database: Database, redis: Redis | null) {
    const { keyRing, heartbeatMs, readWaitMs, lingerMs } = config
    const { claims } = database
    // The id of this start: a restarted process owns nothing of what it owned before.
    const owner = randomUUID()
    const heartbeat = new Heartbeat(database, owner, heartbeatMs, log)
    const integrations = new Integrations(database, keyRing, log)
    const hash = (purpose: HashPurpose) => new KeyedHash(() => this.#root(), purpose)
    const fingerprints = hash('fingerprint')
    const committer = { claims, keyRing, fingerprints }
    const spool = new Spool(config.dataDir)
    const copies = redis === null ? null : new RedisCopies(redis, config.deploymentId)
    const keptAnswers = new KeptAnswers(spool, copies, keyRing, log)
    this.#keptAnswers = keptAnswers
    // Every claim asks whether the database is bound to the deployment that it is made for: one that holds has none.
    const sendsFor = config.isHeld ? null : config.deploymentId
    const claimant = {
      claims,
      owner,
      deploymentId: sendsFor,
      keyIds: keyRing.keyIds,
      sendLimitMs: config.sendLimitMs,
      settleMs: config.settleMs,
      breakerMs: config.breakerMs,
    }
    const common = { database, heartbeat, integrations, log }
    this.#endings = new EndingWatch(database, log)
    const endings = this.#endings
    registerGauges(this.metrics, { database, heartbeat, keptAnswers, endings })
    const engine = {
      ...common,
      claimant,
      committer,
      keptAnswers,
      counters: createRefreshCounters(this.metrics),
      underWay: this.#underWay,
      lingerMs,
    }
    this.#config = config
    this.#log = log
    this.database = database
    this.redis = redis
    this.deploymentId = config.deploymentId
    this.publicUrl = config.publicUrl
    this.#heartbeat = heartbeat
    this.integrations = integrations
    this.#fingerprints = fingerprints
    const { mode, isHeld, deploymentId } = config
    this.#keys = new Keys({ database, redis, spool, keyRing, deploymentId, log })
    const keys = this.#keys
    this.health = new Health({ mode, isHeld, heartbeat, integrations, redis, keys })
    this.#refresher = new Refresher(
      engine,
      new RefreshLock(redis, config.deploymentId, log),
      this.#waiters,
    )
    this.#scheduler = new Scheduler(engine, this.#refresher)
    this.#sweeper = new Sweeper(engine, this.#refresher)
    this.#cache = new TokenCache(heartbeat, config.cacheAccounts)
    this.lookup = new TokenLookup(database, keyRing, this.#cache)
    this.audit = new AuditLog(database, log)
    this.#sealer = new AuditSealer({
      database,
      hash: hash('audit'),
      dataDir: config.dataDir,
      retentionDays: config.auditDays,
      log,
    })
    const clientKeys = hash('client-key')
    this.directory = new ClientDirectory(database, heartbeat, clientKeys, log)
    this.clients = new Clients({
      database,
      heartbeat,
      integrations,
      lookup: this.lookup,
      directory: this.directory,
      hash: clientKeys,
    })
    const states = hash('connect-state')
    const linkHash = hash('connect-link')
    this.links = new ConnectLinks(database, integrations, linkHash)
    this.buttons = { database, integrations, links: this.links, linkHash, states }
    this.secrets = { ...common, keyRing, states }
    this.exchanges = new Exchanges({ ...common, hash: hash('exchange-user'), states })
    this.onboarding = new Onboarding({
      ...common,
      committer,
      keyRing,
      keptCodes: new KeptCodes(spool, keyRing, log),
      keptCallbacks: new KeptCallbacks(spool, keyRing, log),
      exchanges: this.exchanges,
      links: this.links,
      states,
      worker: { owner, deploymentId: sendsFor },
    })
    this.disconnects = new DisconnectHooks({
      ...common,
      hash: hash('disconnect-hook'),
      owner,
      examine: (key) => examineDisconnect(engine, key),
    })
    this.#marks = new ReadMarks(database, log)
    this.tokens = new Tokens({
      ...common,
      refresher: this.#refresher,
      cache: this.#cache,
      lookup: this.lookup,
      links: this.links,
      marks: this.#marks,
      readWaitMs,
      heartbeatMs,
    })
    this.importer = { ...common, committer }
    const verifier = { db: database.db, claimant, integrations, committer }
    this.checks = new AccountChecks({
      database,
      integrations,
      tokens: this.tokens,
      verify: (key) => verifyAccount(verifier, key),
    })
  }

  /** Resolves when requests can be served. Waits for PostgreSQL and its migrations as long as it takes. */
  start(): Promise<void> {
    this.#starting ??= this.#start()
    return this.#starting
  }

  async #start(): Promise<void> {
    await this.#awaitSchema()
    if (this.#closing.signal.aborted) return
    const { keyRing, deploymentId, mode } = this.#config
    const { rootSecret, boundTo } = await bindDeployment(this.database.db, keyRing, deploymentId)
    this.#rootSecret = rootSecret
    this.#tellBinding(boundTo)
    await this.integrations.seed(this.#config, this.#fingerprints)
    await this.directory.reload()
    await this.#listen()
    await this.#heartbeat.start()
    this.#sweeper.start()
    this.#scheduler.start()
    this.onboarding.start()
    this.disconnects.start()
    this.#keys.start()
    this.audit.start()
    this.#sealer.start()
    this.#marks.start()
    this.#endings.start()
    if (this.#closing.signal.aborted) return
    this.health.phase = 'ready'
    this.#log.info({ mode }, 'broker ready')
  }

  /** The claims ask for themselves; this is for health and log. */
  #tellBinding(boundTo: string): void {
    const { deploymentId } = this
    const known = this.health.boundTo
    this.health.boundTo = boundTo === deploymentId ? null : boundTo
    if (this.health.boundTo === known) return
    if (this.health.boundTo === null) this.#log.info({ deploymentId }, 'database adopted')
    else this.#log.error({ deploymentId, boundTo }, 'database belongs to another deployment')
  }

  #readBinding(): void {
    findBoundTo(this.database.db).then(
      (boundTo) => this.#tellBinding(boundTo),
      (err) => this.#log.warn({ err }, 'deployment could not be read'),
    )
  }

  #root(): Secret {
    if (this.#rootSecret === undefined) throw new Error('the broker has not started')
    return this.#rootSecret
  }

  /** Embedded storage is migrated here; elsewhere `npm run migrate` does it, and is waited for. */
  async #awaitSchema(): Promise<void> {
    const { signal } = this.#closing
    while (!signal.aborted) {
      try {
        if (this.#config.mode === 'embedded') await this.database.withDirect(migrateToLatest)
        const pending = await pendingMigrations(this.database.db)
        if (pending.length === 0) return
        this.health.phase = 'unmigrated'
        this.#log.warn({ pending }, 'database is not migrated: run npm run migrate')
      } catch (error) {
        if (this.#config.mode === 'embedded') throw error
        this.#log.warn(
          { code: (error as { code?: string }).code },
          'PostgreSQL does not answer yet',
        )
      }
      await delay(START_RETRY_MS, undefined, { signal }).catch(() => {})
    }
  }

  async #listen(): Promise<void> {
    const onGap = () => {
      this.#cache.onGap()
      this.#waiters.wakeAll()
      this.#sweeper.onGap()
      this.integrations.reload()
      this.directory.reload()
      this.#readBinding()
    }
    const onToken = (payload: string) => {
      const change = parseAccountNotification(payload)
      if (change === undefined) return onGap()
      this.#cache.onChange(change, change.generation)
      this.#waiters.wake(change)
    }
    const onAccount = (payload: string) => {
      this.#cache.onAccountsChange()
      const change = parseAccountNotification(payload)
      if (change !== undefined) this.#keptAnswers.reopenAccount(change)
    }
    const channels = new Map([
      ['amo_tokens', onToken],
      ['amo_accounts', onAccount],
      ['amo_integrations', () => void this.integrations.reload()],
      ['amo_deployment', () => this.#readBinding()],
      ['amo_clients', () => void this.directory.reload()],
      [this.#heartbeat.channel, this.#heartbeat.onEcho],
    ])
    await this.database.listen({ channels, onConnected: onGap })
  }

  /** `/health/ready` says so from here on; requests are still served, and nothing is refreshed but for those who wait. */
  beginDraining(): void {
    this.health.phase = 'draining'
    this.#closing.abort()
    // What is due is the other replicas' work from here on; who still asks here is waited for.
    void this.#scheduler.stop()
  }

  /** Claims nothing new, waits for answers that are on their way until they are committed, then closes everything. */
  async close(): Promise<void> {
    this.beginDraining()
    await this.#starting?.catch(() => {})
    this.#refresher.stop()
    await Promise.all([this.#scheduler.stop(), this.#sweeper.stop()])
    await Promise.all([this.onboarding.stop(), this.disconnects.stop(), this.#keys.stop()])
    await this.#underWay.drain()
    if (this.#rootSecret !== undefined) {
      await this.audit.stop()
      await this.#sealer.stop()
    }
    await this.#marks.stop()
    await this.#endings.stop()
    await this.#heartbeat.stop()
    this.redis?.disconnect()
    await this.database.close()
  }
}
