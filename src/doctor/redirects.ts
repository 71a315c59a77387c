import type { Integration } from '../integrations/integration.ts'
import { probeRedirect } from '../integrations/probe-redirect.ts'
import { explainFailure } from '../provider/failures.ts'
import { type Finding, fail, ok, warn } from './finding.ts'

/** Examines what stops an integration as a whole. */
export function examineIntegrations(integrations: Integration[]): Finding[] {
  if (integrations.length === 0) {
    return [
      warn(
        'there is no integration yet',
        'Set AMO_CLIENT_ID, AMO_CLIENT_SECRET and AMO_REDIRECT_URI (or KOMMO_…) and start the broker, or run amo-broker integrations set.',
      ),
    ]
  }
  return integrations.flatMap(examineIntegration)
}

function examineIntegration(integration: Integration): Finding[] {
  const { name, isAltered, state, stateReason, lastErrorCode, breakers, sandboxOrigin } =
    integration
  const findings: Finding[] = []
  if (state !== 'running') {
    findings.push(
      warn(
        `${name} is ${state}${stateReason === null ? '' : `, ${stateReason}`}: nothing is sent`,
        `Once the cause is removed, run amo-broker integrations resume ${name}.`,
      ),
    )
  }
  if (lastErrorCode !== null) {
    const { problem, remedy } = explainFailure(lastErrorCode)
    findings.push(fail(`${name}: ${problem}`, remedy))
  }
  for (const { key, reason } of breakers) {
    const remedy = 'It tries again by itself. amo-broker integrations list --json shows when.'
    findings.push(warn(`${name}: nothing is sent to ${key} because of ${reason}`, remedy))
  }
  if (isAltered) {
    const remedy = `Find out who wrote to amo_integrations. Restart the broker with its settings in the environment, or send the settings that it had with amo-broker integrations set ${name}. Then run amo-broker integrations resume ${name}.`
    findings.push(fail(`${name} was altered in the database: nothing is sent`, remedy))
    return findings
  }
  try {
    integration.clientSecret.reveal()
  } catch {
    const remedy = 'Put the missing key back into ENCRYPTION_KEYS.'
    findings.push(fail(`${name}: its client secret cannot be decrypted`, remedy))
  }
  const where = sandboxOrigin === null ? '' : `, uses the sandbox at ${sandboxOrigin}`
  return findings.length > 0 ? findings : [ok(`${name} is running${where}`)]
}

/** Examines whether the redirect URIs lead to a broker, as seen from this machine. */
export function examineRedirects(integrations: Integration[]): Promise<Finding[]> {
  return Promise.all(integrations.map(examineRedirect))
}

async function examineRedirect({ name, redirectUri }: Integration): Promise<Finding> {
  const remedy =
    'It must lead to the public listener (PUBLIC_PORT) of this broker. Ignore this if only this machine cannot reach it.'
  const found = await probeRedirect(redirectUri)
  if (found.kind === 'broker') return ok(`${name}: ${redirectUri} leads to a broker`)
  if (found.kind === 'other') {
    return warn(`${name}: ${found.origin} answers ${found.status} and is not a broker`, remedy)
  }
  return warn(`${name}: ${found.origin} cannot be reached (${found.code})`, remedy)
}
