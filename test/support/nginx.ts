import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'
import { until } from './broker.ts'
import type { Certificates } from './certificates.ts'

const EXAMPLES = join(import.meta.dirname, '../../deploy/nginx')

interface NginxOptions {
  binary: string
  /**
   * Files of `deploy/nginx`, in the order in which the http block includes them, with their port.
   */
  files: [name: string, port: number][]
  certificate: Certificates['server']
  /** What the addresses in the examples become, such as `127.0.0.1:3001`. */
  addresses: Record<string, string>
}

/** @returns the command that starts nginx, or undefined when it is not installed */
export function findNginx(): string | undefined {
  return ['nginx', '/usr/sbin/nginx'].find((name) => spawnSync(name, ['-v']).status === 0)
}

/**
 * Starts nginx with the example files. Only addresses, ports and the paths of files differ from
 * what a reader copies.
 *
 * @returns reads its logs
 */
export async function startNginx(t: Test, options: NginxOptions): Promise<() => string> {
  const folder = mkdtempSync(join(tmpdir(), 'amo-nginx-'))
  const { certFile, keyFile } = options.certificate
  const adapt = (name: string, port: number) => {
    let text = readFileSync(join(EXAMPLES, name), 'utf8')
      .replaceAll('listen 443 ssl', `listen 127.0.0.1:${port} ssl`)
      .replaceAll(/server_name .*;/g, 'server_name localhost;')
      .replaceAll(/ssl_certificate +\S+;/g, `ssl_certificate ${certFile};`)
      .replaceAll(/ssl_certificate_key +\S+;/g, `ssl_certificate_key ${keyFile};`)
      .replaceAll('/var/log/nginx', folder)
      .replaceAll('/etc/nginx', folder)
    for (const [from, to] of Object.entries(options.addresses)) text = text.replaceAll(from, to)
    writeFileSync(join(folder, name), text)
  }
  adapt('amo-broker-location.conf', 0)
  for (const [name, port] of options.files) adapt(name, port)
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
  writeFileSync(
    join(folder, 'nginx.conf'),
    [
      ...(process.getuid?.() === 0 ? ['user root;'] : []),
      'daemon off; worker_processes 1;',
      `pid ${folder}/nginx.pid; error_log ${folder}/error.log;`,
      'events {}',
      'http {',
      `access_log ${folder}/access.log;`,
      ...temporary.map((name) => `${name}_temp_path ${folder}/${name};`),
      ...options.files.map(([name]) => `include ${folder}/${name};`),
      '}',
    ].join('\n'),
  )
  const child = spawn(options.binary, ['-p', folder, '-c', join(folder, 'nginx.conf')])
  let output = ''
  child.stderr.on('data', (chunk) => {
    output += chunk
  })
  t.teardown(async () => {
    const ended = child.exitCode === null ? once(child, 'exit') : undefined
    child.kill('SIGTERM')
    await ended
    rmSync(folder, { recursive: true, force: true })
  })
  await until(async () => {
    if (child.exitCode !== null) throw new Error(`nginx ended: ${output}`)
    return (await Promise.all(options.files.map(([, port]) => listens(port)))).every(Boolean)
  })
  return () =>
    ['amo-broker.log', 'amo-broker-error.log', 'error.log']
      .map((name) => readFileSync(join(folder, name), 'utf8'))
      .join('')
}

async function listens(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1')
  try {
    await once(socket, 'connect')
    return true
  } catch {
    return false
  } finally {
    socket.destroy()
  }
}
