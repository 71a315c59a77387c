/** An administrator who connects one account in a browser. */
export interface Consent {
  broker: string
  key: string
  integration: string
  account: string
  onStep(line: string): void
}

/**
 * Connects an account as an administrator does: connect link, consent page, Allow, callback, result
 * page. Throws if a step does not lead to the next.
 */
export async function consent(person: Consent): Promise<void> {
  const created = await fetch(`${person.broker}/connect-links`, {
    method: 'POST',
    headers: { authorization: `Bearer ${person.key}`, 'content-type': 'application/json' },
    body: JSON.stringify({ integration: person.integration }),
  })
  const { url } = (await created.json()) as { url: string }
  person.onStep(`   connect link   ${url}`)
  const opened = await fetch(url, { redirect: 'manual' })
  const cookie = opened.headers
    .getSetCookie()
    .map((each) => each.split(';')[0])
    .join('; ')
  const page = new URL(locationOf(opened))
  person.onStep(`   consent page   ${page.origin}${page.pathname}, Allow`)
  const decided = await fetch(new URL('/oauth/decision', page), {
    method: 'POST',
    redirect: 'manual',
    body: new URLSearchParams({
      client_id: page.searchParams.get('client_id') ?? '',
      state: page.searchParams.get('state') ?? '',
      mode: page.searchParams.get('mode') ?? '',
      account: person.account,
      decision: 'allow',
    }),
  })
  const callback = new URL(locationOf(decided))
  person.onStep(`   callback       ${callback.origin}${callback.pathname}`)
  const received = await fetch(callback, { redirect: 'manual', headers: { cookie } })
  const result = new URL(locationOf(received), callback)
  const text = await (await fetch(result, { headers: { cookie } })).text()
  const title = /<h1>(.*?)<\/h1>/.exec(text)?.[1] ?? 'no page'
  person.onStep(`   page           ${result.href}: ${title}`)
  if (!title.endsWith('is connected')) throw new Error(`the account was not connected: ${title}`)
}

function locationOf(response: Response): string {
  const location = response.headers.get('location')
  if (location === null) throw new Error(`expected a redirect, got HTTP ${response.status}`)
  return location
}
