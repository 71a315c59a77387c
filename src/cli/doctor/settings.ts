import type { Config } from '../../config.ts'
import { type Finding, ok, warn } from './finding.ts'

const LOOPBACK = new Set(['127.0.0.1', '::1', 'localhost'])

/** That they can be read is known by now; here is what they lead to. */
export function examineSettings(config: Config): Finding[] {
  const { mode, integrations, internal, internalTls, isHeld, deploymentId } = config
  const names = integrations.map(({ name }) => name).join(', ') || 'none in the environment'
  const findings = [ok(`mode ${mode}, deployment "${deploymentId}", integrations: ${names}`)]
  if (mode === 'standalone') {
    findings.push(
      warn(
        'no Redis: one replica alone, and no second copy of an answer besides DATA_DIR',
        'Set REDIS_URL before there are several replicas.',
      ),
    )
  }
  if (isHeld) {
    findings.push(
      warn(
        'HOLD_SENDS is set: nothing is refreshed',
        'Take it out once npm run verify is content.',
      ),
    )
  }
  if (!LOOPBACK.has(internal.host) && internalTls === null) {
    findings.push(
      warn(
        `the internal listener hands tokens out in plain http at ${internal.host}`,
        'Set INTERNAL_TLS_CERT and INTERNAL_TLS_KEY, or let nobody but your services reach it.',
      ),
    )
  }
  return findings
}
