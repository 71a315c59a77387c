import { isRepeatable } from './request.ts'
import type { AmoToken } from './token.ts'

// The parts of undici's types that are used here, so that the package depends on nothing.

interface DispatchOptions {
  origin?: string | URL
  path: string
  headers?: unknown
  body?: unknown
  signal?: unknown
}

interface DispatchHandler {
  onRequestStart?(controller: unknown, context: unknown): void
  onResponseStart?(controller: unknown, status: number, headers: unknown, message?: string): void
  onResponseData?(controller: unknown, chunk: unknown): void
  onResponseEnd?(controller: unknown, trailers: unknown): void
  onResponseError?(controller: unknown, error: Error): void
}

// biome-ignore lint/suspicious/noExplicitAny: undici's own types must fit in both directions
export type Dispatch = (options: any, handler: any) => boolean
/** For `new Agent().compose(interceptor)` of undici 7 and newer. */
export type Interceptor = (dispatch: Dispatch) => Dispatch

export interface TokenSource {
  get(signal: AbortSignal | undefined): Promise<AmoToken>
  /** @returns undefined if there is no token to repeat the request with */
  renew(token: AmoToken, signal: AbortSignal | undefined): Promise<AmoToken | undefined>
  resolve(url: string, token: AmoToken): URL
}

/** Returns an interceptor that adds the token, and repeats a request once after a 401. */
export function createInterceptor(source: TokenSource): Interceptor {
  return (dispatch) => (options: DispatchOptions, handler: DispatchHandler) => {
    const signal = options.signal instanceof AbortSignal ? options.signal : undefined
    const fail = (error: Error) => handler.onResponseError?.(null, error)

    const send = (token: AmoToken, isFirst: boolean) => {
      const { origin, pathname, search } = source.resolve(
        `${options.origin ?? ''}${options.path}`,
        token,
      )
      const headers = withAuthorization(options.headers, token)
      const wrapped = isFirst && isRepeatable(options.body) ? repeating(token) : handler
      dispatch({ ...options, origin, path: pathname + search, headers }, wrapped)
    }

    /** Passes everything on, except a 401, which waits for another token. */
    const repeating = (token: AmoToken): DispatchHandler => {
      let held: (() => void)[] | undefined
      const pass = (event: () => void) => (held === undefined ? event() : void held.push(event))
      return {
        onRequestStart: (...start) => handler.onRequestStart?.(...start),
        onResponseStart(...start) {
          if (start[1] === 401) held = []
          pass(() => handler.onResponseStart?.(...start))
        },
        onResponseData: (...data) => pass(() => handler.onResponseData?.(...data)),
        onResponseEnd(...end) {
          const passAll = () => {
            for (const event of held ?? []) event()
            handler.onResponseEnd?.(...end)
          }
          if (held === undefined) return passAll()
          const renewed = source.renew(token, signal)
          renewed.then((next) => (next === undefined ? passAll() : send(next, false))).catch(fail)
          return undefined
        },
        onResponseError: (...failure) => handler.onResponseError?.(...failure),
      }
    }

    source
      .get(signal)
      .then((token) => send(token, true))
      .catch(fail)
    return true
  }
}

function withAuthorization(headers: unknown, token: AmoToken): Record<string, string> {
  const merged = new Headers((headers ?? {}) as Record<string, string>)
  merged.set('authorization', `Bearer ${token.accessToken}`)
  return Object.fromEntries(merged)
}
