import type { Config } from '../config/load-config.ts'
import { findWeaknesses } from '../config/weaknesses.ts'
import { type Finding, ok, warn } from './finding.ts'

const LOOPBACK = new Set(['127.0.0.1', '::1', 'localhost'])

/** Examines the consequences of settings that are valid. */
export function examineSettings(config: Config): Finding[] {
  const { mode, integrations, internal, internalTls, isHeld, deploymentId } = config
  const names = integrations.map(({ name }) => name).join(', ') || 'none in the environment'
  const findings = [ok(`mode ${mode}, deployment "${deploymentId}", integrations: ${names}`)]
  if (mode === 'standalone') {
    findings.push(
      warn(
        'no Redis: only one replica, and no second copy of provider responses besides DATA_DIR',
        'Set REDIS_URL before you start several replicas.',
      ),
    )
  }
  if (isHeld) {
    findings.push(
      warn(
        'HOLD_SENDS is set: nothing is refreshed',
        'Remove it once amo-broker verify reports that all accounts are alive.',
      ),
    )
  }
  if (!LOOPBACK.has(internal.host) && internalTls === null) {
    findings.push(
      warn(
        `the internal listener serves tokens over plain http at ${internal.host}`,
        'Set INTERNAL_TLS_CERT and INTERNAL_TLS_KEY, or make it reachable for your services only.',
      ),
    )
  }
  if (process.env.HTTPS_PROXY || process.env.https_proxy) {
    findings.push(
      warn(
        'HTTPS_PROXY is set and not used: the provider is called directly',
        'Let this machine reach the provider directly, then remove the variable.',
      ),
    )
  }
  const weaknesses = findWeaknesses(config)
  return [...findings, ...weaknesses.map(({ found, remedy }) => warn(found, remedy))]
}
