const LIMIT_MS = 5_000

/** What answers at the origin of a redirect URI. `code`: why nothing does. */
export type RedirectProbe =
  | { kind: 'broker' }
  | { kind: 'other'; origin: string; status: number }
  | { kind: 'unreachable'; origin: string; code: string }

/** Asks whether a redirect URI leads to a broker, as seen from this machine. Never rejects. */
export async function probeRedirect(redirectUri: string): Promise<RedirectProbe> {
  const url = new URL('/health/live', redirectUri)
  const { origin } = url
  try {
    const signal = AbortSignal.timeout(LIMIT_MS)
    const response = await fetch(url, { signal, redirect: 'manual' })
    const body: unknown = await response.json().catch(() => undefined)
    const isBroker = response.ok && (body as { status?: string } | undefined)?.status === 'ok'
    return isBroker ? { kind: 'broker' } : { kind: 'other', origin, status: response.status }
  } catch (error) {
    const { name, cause } = error as { name: string; cause?: { code?: string } }
    return { kind: 'unreachable', origin, code: cause?.code ?? name }
  }
}
