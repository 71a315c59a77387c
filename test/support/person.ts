import type { TestBroker } from './broker.ts'

/** A person with a browser that keeps its cookies and follows no redirect by itself. */
export class Person {
  #cookie = ''

  async get(url: string): Promise<{ status: number; location: string; text: string }> {
    const response = await fetch(url, { redirect: 'manual', headers: { cookie: this.#cookie } })
    const [cookie] = response.headers.getSetCookie()
    if (cookie !== undefined) this.#cookie = cookie.split(';')[0] ?? ''
    const location = response.headers.get('location') ?? ''
    return {
      status: response.status,
      location: location && new URL(location, url).href,
      text: await response.text(),
    }
  }

  /** Opens a connect link and decides on the consent page. Returns the URL of the callback. */
  async decide(link: string, decision: 'allow' | 'deny', account = 'demo'): Promise<URL> {
    const page = new URL((await this.get(link)).location)
    const decided = await fetch(new URL('/oauth/decision', page), {
      method: 'POST',
      redirect: 'manual',
      body: new URLSearchParams({
        client_id: page.searchParams.get('client_id') ?? '',
        state: page.searchParams.get('state') ?? '',
        mode: page.searchParams.get('mode') ?? '',
        account,
        decision,
      }),
    })
    return new URL(decided.headers.get('location') ?? '')
  }

  /** Follows a callback to the last page. */
  async finish(callback: URL | string): Promise<{ status: number; url: string; text: string }> {
    const { status, location } = await this.get(String(callback))
    if (status !== 303) throw new Error(`the callback answered ${status}`)
    const page = await this.get(location)
    return { status: page.status, url: location, text: page.text }
  }
}

/** Creates a connect link. */
export async function linkOf(
  broker: TestBroker,
  order: Record<string, unknown> = {},
): Promise<string> {
  const { status, body } = await broker.post('/connect-links', { integration: 'amocrm', ...order })
  if (status !== 201) throw new Error(JSON.stringify(body))
  return body.url
}
