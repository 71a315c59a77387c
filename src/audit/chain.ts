import type { KeyedHash } from '../vault/keyed-hash.ts'
import type { AuditHead, AuditRow } from './store.ts'

/** The mac of a row at its place: over the one before it, so that none can be changed, removed or put in between. */
export function linkOf(hash: KeyedHash, before: string, seq: number, row: AuditRow): string {
  const { id, at, actor, action, integration, accountId, generation, outcome, times, detail } = row
  const fields = [id, at, actor, action, integration, accountId, generation, outcome, times, detail]
  return hash.of(JSON.stringify(['row', before, seq, ...fields]))
}

/** The checkpoint that retention leaves: nobody else can say that the chain begins later. */
export function signatureOf(
  hash: KeyedHash,
  { cutSeq, cutMac }: Pick<AuditHead, 'cutSeq' | 'cutMac'>,
): string {
  return hash.of(JSON.stringify(['cut', cutSeq, cutMac]))
}
