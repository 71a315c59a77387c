import type { Integration } from '../../integrations/service.ts'
import { explainFailure } from '../../refresh/failures.ts'
import { type Finding, fail, ok, warn } from './finding.ts'

const LIMIT_MS = 5_000

/** What stops an integration as a whole. */
export function examineIntegrations(integrations: Integration[]): Finding[] {
  if (integrations.length === 0) {
    return [
      warn(
        'there is none yet',
        'Set AMO_CLIENT_ID, AMO_CLIENT_SECRET and AMO_REDIRECT_URI (or KOMMO_…) and start the broker.',
      ),
    ]
  }
  return integrations.flatMap(examineIntegration)
}

function examineIntegration(integration: Integration): Finding[] {
  const { name, state, stateReason, lastErrorCode, breakers, sandboxOrigin } = integration
  const findings: Finding[] = []
  if (state !== 'running') {
    findings.push(
      warn(
        `${name} is ${state}${stateReason === null ? '' : `, ${stateReason}`}: nothing is sent`,
        `Once you know why: amo-broker integrations resume ${name}.`,
      ),
    )
  }
  if (lastErrorCode !== null) {
    const { problem, remedy } = explainFailure(lastErrorCode)
    findings.push(fail(`${name}: ${problem}`, remedy))
  }
  for (const { key, reason } of breakers) {
    const remedy = 'It tries again by itself; amo-broker integrations list shows when.'
    findings.push(warn(`${name}: nothing is sent to ${key} after ${reason}`, remedy))
  }
  try {
    integration.clientSecret.reveal()
  } catch {
    const remedy = 'Put the missing key back into ENCRYPTION_KEYS.'
    findings.push(fail(`${name}: its client secret does not open`, remedy))
  }
  const where = sandboxOrigin === null ? '' : `, talks to the sandbox at ${sandboxOrigin}`
  return findings.length > 0 ? findings : [ok(`${name} runs${where}`)]
}

/** Whether what stands in the integration leads to a broker, as seen from here. */
export function examineRedirects(integrations: Integration[]): Promise<Finding[]> {
  return Promise.all(integrations.map(examineRedirect))
}

async function examineRedirect({ name, redirectUri }: Integration): Promise<Finding> {
  const remedy = `It must lead to the public listener (PUBLIC_PORT) of this broker. If only this machine cannot reach it, that is all right.`
  const url = new URL('/health/live', redirectUri)
  try {
    const signal = AbortSignal.timeout(LIMIT_MS)
    const answer = await fetch(url, { signal, redirect: 'manual' })
    const body: unknown = await answer.json().catch(() => undefined)
    const isBroker = answer.ok && (body as { status?: string } | undefined)?.status === 'ok'
    if (isBroker) return ok(`${name}: ${redirectUri} leads to a broker`)
    return warn(`${name}: ${url.origin} answers ${answer.status}, and is no broker`, remedy)
  } catch (error) {
    const { name: kind, cause } = error as { name: string; cause?: { code?: string } }
    return warn(`${name}: ${url.origin} cannot be reached (${cause?.code ?? kind})`, remedy)
  }
}
