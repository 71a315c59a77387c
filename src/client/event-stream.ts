import { parseObject } from './error.ts'

const PATH = '/events/stream'
/** After the end of a stream. */
const AGAIN_MS = 2_000
/** After a refusal, such as a key that may not read events. */
const REFUSED_MS = 60_000
/** After 404: this broker has no event stream. */
const NOT_OFFERED_MS = 900_000
const MAX_BLOCK = 65_536

interface Incoming {
  statusCode?: number | undefined
  setEncoding(encoding: 'utf8'): unknown
  on(event: 'data', listener: (chunk: string) => void): unknown
  on(event: 'close', listener: () => void): unknown
  destroy(): unknown
}

export interface EventStreamOptions {
  url: string
  key: () => Promise<string>
  onInvalidated: (accountId: number, generation: number) => void
}

/**
 * Follows the broker's events (`GET /events/stream`), where the broker has them and the runtime is
 * Node or like it. The connection keeps no process alive, and there is no timer: a lost stream is
 * opened again by the next read of a token.
 */
export class EventStream {
  readonly #options: EventStreamOptions
  #nextTryMs = 0
  #isOpen = false
  readonly #end = new AbortController()

  constructor(options: EventStreamOptions) {
    this.#options = options
  }

  /** Opens the stream unless it is open or was refused a while ago. */
  follow(): void {
    if (this.#isOpen || this.#end.signal.aborted || performance.now() < this.#nextTryMs) return
    this.#isOpen = true
    this.#run()
      .catch(() => AGAIN_MS)
      .then((waitMs) => {
        this.#nextTryMs = performance.now() + waitMs * (1 + Math.random())
        this.#isOpen = false
      })
  }

  close(): void {
    this.#end.abort()
  }

  /** @returns how long to wait before the next try */
  async #run(): Promise<number> {
    const url = new URL(this.#options.url + PATH)
    const authorization = `Bearer ${await this.#options.key()}`
    const { request } =
      url.protocol === 'https:' ? await import('node:https') : await import('node:http')
    return new Promise((resolve, reject) => {
      const headers = { authorization, accept: 'text/event-stream' }
      const call = request(
        url,
        { agent: false, headers, signal: this.#end.signal },
        (response: Incoming) => {
          if (response.statusCode !== 200) {
            response.destroy()
            resolve(response.statusCode === 404 ? NOT_OFFERED_MS : REFUSED_MS)
            return
          }
          let text = ''
          response.setEncoding('utf8')
          response.on('data', (chunk) => {
            const blocks = (text + chunk).split(/\r?\n\r?\n/)
            text = (blocks.pop() ?? '').slice(-MAX_BLOCK)
            for (const block of blocks) this.#take(block)
          })
          response.on('close', () => resolve(AGAIN_MS))
        },
      )
      call.on('socket', (socket) => socket.unref())
      call.on('error', reject)
      call.end()
    })
  }

  #take(block: string): void {
    if (!/^event: ?token\.invalidated$/m.test(block)) return
    const { account, generation } = parseObject(/^data:(.*)$/m.exec(block)?.[1] ?? '')
    this.#options.onInvalidated(Number(account), Number(generation))
  }
}
