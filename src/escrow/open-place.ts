import { fileURLToPath } from 'node:url'
import type { Secret } from '../vault/secret.ts'
import type { EscrowPlace } from './place.ts'

/**
 * Opens the place that ESCROW_URL names: `file:///mnt/escrow`, `postgres://…` or
 * `s3://bucket/prefix`. Loads only the code that it needs. Throws when the place cannot be used.
 */
export async function openPlace(url: Secret): Promise<EscrowPlace> {
  const text = url.reveal()
  switch (new URL(text).protocol) {
    case 'file:':
      return (await import('./directory-place.ts')).openDirectory(fileURLToPath(text))
    case 's3:':
      return (await import('./s3-place.ts')).openS3(text)
    default:
      return (await import('./postgres-place.ts')).openPostgresPlace(text)
  }
}
