import type { KeyedHash } from '../vault/keyed-hash.ts'
import type { AuditHead, AuditRow } from './store.ts'

/**
 * Computes the mac of a row in its place. It covers the mac before it, so no row can be changed,
 * removed or inserted.
 */
export function linkOf(hash: KeyedHash, before: string, seq: number, row: AuditRow): string {
  const { id, at, actor, action, integration, accountId, generation, outcome, times, detail } = row
  const fields = [id, at, actor, action, integration, accountId, generation, outcome, times, detail]
  return hash.of(JSON.stringify(['row', before, seq, ...fields]))
}

/**
 * Signs the checkpoint of retention, so that only this deployment can move the start of the chain.
 */
export function signatureOf(
  hash: KeyedHash,
  { cutSeq, cutMac }: Pick<AuditHead, 'cutSeq' | 'cutMac'>,
): string {
  return hash.of(JSON.stringify(['cut', cutSeq, cutMac]))
}
