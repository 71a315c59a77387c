import { setTimeout as delay } from 'node:timers/promises'
import { query } from '../support/database.ts'
import { startProxy, type TcpProxy } from '../support/proxy.ts'
import type { TeardownScope } from '../support/teardown-scope.ts'
import { PostgresServer } from './postgres-server.ts'

/** A time in which commits were forgotten, in milliseconds since 1970. */
export interface Forgetting {
  fromMs: number
  /** When no broker used the former primary any more. Undefined: not yet. */
  toMs: number | undefined
}

const DATABASE = 'torture'
const WRITABLE_LIMIT_MS = 20_000
/** The sessions of the harness write while those of the brokers must not. */
const OWN_OPTIONS = '-c default_transaction_read_only=off -c synchronous_commit=local'

/**
 * A primary and its standby. The standby replaces the primary as often as a fault wants it. The
 * proxies of the replicas lead to the primary of the moment.
 */
export class PostgresCluster {
  /** Leads the harness itself to the primary of the moment. */
  readonly url: string
  readonly forgettings: Forgetting[] = []
  readonly #scope: TeardownScope
  readonly #own: TcpProxy
  #primary: PostgresServer
  #standby: PostgresServer
  /** Between primary and standby. */
  #replication: TcpProxy
  #followers: TcpProxy[] = []

  private constructor(
    scope: TeardownScope,
    own: TcpProxy,
    [primary, standby, replication]: [PostgresServer, PostgresServer, TcpProxy],
  ) {
    this.#scope = scope
    this.#own = own
    this.#primary = primary
    this.#standby = standby
    this.#replication = replication
    const url = new URL(own.url)
    url.searchParams.set('options', OWN_OPTIONS)
    this.url = url.href
  }

  static async start(scope: TeardownScope): Promise<PostgresCluster> {
    const primary = await PostgresServer.start(scope)
    const own = await startProxy(scope, await primary.createDatabase(DATABASE))
    const [standby, replication] = await follow(scope, primary)
    return new PostgresCluster(scope, own, [primary, standby, replication])
  }

  /** Leads these proxies to the primary, now and after each failover. */
  lead(proxies: TcpProxy[]): void {
    this.#followers = proxies
    for (const proxy of proxies) proxy.leadTo(this.#primary.url)
  }

  /** Makes every transaction read-only, as hosted databases do when their disk is full. */
  async setReadOnly(isOn: boolean): Promise<void> {
    await this.#set('default_transaction_read_only', isOn ? 'on' : 'off')
  }

  /** A commit waits until the standby has it. */
  async setSynchronous(isOn: boolean): Promise<void> {
    await this.#standby.catchUp(this.#primary)
    await this.#set('synchronous_standby_names', isOn ? '*' : '')
  }

  /** Cuts the standby off, so that it lacks what is committed from now on. */
  stopReplication(): void {
    this.#replication.set('hang')
    this.forgettings.push({ fromMs: Date.now(), toMs: undefined })
  }

  /** Ends the primary without losing a commit, and promotes the standby. */
  async switchOver(): Promise<void> {
    await this.#primary.shutDown()
    await this.#promote()
  }

  /** Crashes the primary and promotes the standby. */
  async failOver(): Promise<void> {
    await this.#primary.crash()
    await this.#promote()
  }

  /**
   * Promotes the standby while the primary lives on and can be written to. Sessions that are open
   * stay there.
   */
  async promoteBeside(): Promise<void> {
    await this.#standby.catchUp(this.#primary)
    this.stopReplication()
    for (const proxy of this.#followers) proxy.leadNewTo(this.#standby.url)
    this.#own.leadTo(this.#standby.url)
    await this.#untilPromoted()
  }

  /** Waits until no broker has a session on the former primary. Returns false after the limit. */
  async untilDeserted(limitMs: number): Promise<boolean> {
    const endMs = Date.now() + limitMs
    while ((await this.#countSessions()) > 0) {
      if (Date.now() > endMs) return false
      await delay(50)
    }
    this.#endForgetting()
    return true
  }

  /** Ends the former primary, and creates a standby of the present one. */
  async rebuild(): Promise<void> {
    const former = this.#primary
    this.#primary = this.#standby
    await former.crash()
    await former.remove()
    this.#endForgetting()
    ;[this.#standby, this.#replication] = await follow(this.#scope, this.#primary)
  }

  #endForgetting(): void {
    const last = this.forgettings.at(-1)
    if (last !== undefined) last.toMs ??= Date.now()
  }

  async #countSessions(): Promise<number> {
    const [row] = await query<{ count: number }>(
      this.#primary.url,
      `select count(*)::int from pg_stat_activity where application_name like 'amo-token-broker%'`,
    )
    return row?.count ?? 0
  }

  async #promote(): Promise<void> {
    this.#endForgetting()
    await this.#untilPromoted()
    for (const proxy of [...this.#followers, this.#own]) proxy.leadTo(this.#standby.url)
  }

  async #untilPromoted(): Promise<void> {
    await this.#standby.promote()
    await query(this.#standby.url, 'alter system reset all')
    await query(this.#standby.url, 'select pg_reload_conf()')
  }

  async #set(name: string, value: string): Promise<void> {
    const { url } = this.#primary
    await query(url, `alter system set ${name} = '${value}'`)
    await query(url, 'select pg_reload_conf()')
    const endMs = Date.now() + WRITABLE_LIMIT_MS
    const isSet = async () => (await query<{ [name]: string }>(url, `show ${name}`))[0]?.[name]
    while ((await isSet()) !== value) {
      if (Date.now() > endMs) throw new Error(`${name} stays what it was`)
      await delay(20)
    }
  }
}

async function follow(
  scope: TeardownScope,
  primary: PostgresServer,
): Promise<[PostgresServer, TcpProxy]> {
  const replication = await startProxy(scope, primary.url)
  return [await PostgresServer.startStandby(scope, replication.url), replication]
}
