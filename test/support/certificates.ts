import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'

export interface Certificates {
  /** File of the certificate authority that signed both. */
  caFile: string
  ca: string
  server: Pair
  client: Pair
}

interface Pair {
  certFile: string
  keyFile: string
  cert: string
  key: string
}

/**
 * Creates a certificate authority, a server certificate for 127.0.0.1 and localhost, and a client
 * certificate. The files are removed when the test ends.
 */
export function makeCertificates(t: Test): Certificates {
  const folder = mkdtempSync(join(tmpdir(), 'amo-test-tls-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const file = (name: string) => join(folder, name)
  const openssl = (...args: string[]) => execFileSync('openssl', args, { stdio: 'pipe' })
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']
  openssl(
    'req',
    '-x509',
    ...newKey,
    '-days',
    '2',
    '-subj',
    '/CN=test authority',
    '-keyout',
    file('ca.key'),
    '-out',
    file('ca.pem'),
  )
  const pair = (name: string, extension: string): Pair => {
    writeFileSync(file(`${name}.ext`), extension)
    openssl(
      'req',
      ...newKey,
      '-subj',
      `/CN=${name}`,
      '-keyout',
      file(`${name}.key`),
      '-out',
      file(`${name}.csr`),
    )
    openssl(
      'x509',
      '-req',
      '-in',
      file(`${name}.csr`),
      '-CA',
      file('ca.pem'),
      '-CAkey',
      file('ca.key'),
      '-CAcreateserial',
      '-days',
      '2',
      '-extfile',
      file(`${name}.ext`),
      '-out',
      file(`${name}.pem`),
    )
    const [certFile, keyFile] = [file(`${name}.pem`), file(`${name}.key`)]
    return {
      certFile,
      keyFile,
      cert: readFileSync(certFile, 'utf8'),
      key: readFileSync(keyFile, 'utf8'),
    }
  }
  return {
    caFile: file('ca.pem'),
    ca: readFileSync(file('ca.pem'), 'utf8'),
    server: pair('server', 'subjectAltName=IP:127.0.0.1,DNS:localhost\n'),
    client: pair('client', 'extendedKeyUsage=clientAuth\n'),
  }
}
