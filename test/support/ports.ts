import { once } from 'node:events'
import { createServer, type Server } from 'node:net'

/**
 * Below the kernel's own range (`ip_local_port_range`, 32768 and up on Linux). The kernel may give
 * a port of that range to an outgoing connection before the broker listens on it.
 */
const FIRST_PORT = 12_000
const LAST_PORT = 32_000
const BLOCK_SIZE = 100

interface Block {
  next: number
  end: number
}

let block: Promise<Block> | undefined

/**
 * Returns free ports of 127.0.0.1, for servers that must know their port before they start. No
 * other test process gets the same ones.
 */
export async function freePorts(count: number): Promise<number[]> {
  block ??= reserveBlock()
  const ours = await block
  const ports: number[] = []
  while (ports.length < count) {
    if (ours.next >= ours.end) throw new Error(`a test file uses more than ${BLOCK_SIZE} ports`)
    const port = ours.next++
    const server = await tryToListen(port)
    if (server === undefined) continue
    await new Promise((closed) => server.close(closed))
    ports.push(port)
  }
  return ports
}

/**
 * Reserves a block of ports by listening on its first one. The kernel frees the block when the
 * process ends, even when it crashes.
 */
async function reserveBlock(): Promise<Block> {
  const blocks = (LAST_PORT - FIRST_PORT) / BLOCK_SIZE
  // Processes that start at the same time try different blocks first.
  for (let tried = 0; tried < blocks; tried++) {
    const first = FIRST_PORT + ((process.pid + tried) % blocks) * BLOCK_SIZE
    const guard = await tryToListen(first)
    if (guard === undefined) continue
    guard.unref()
    return { next: first + 1, end: first + BLOCK_SIZE }
  }
  throw new Error(`no block of ports is free between ${FIRST_PORT} and ${LAST_PORT}`)
}

async function tryToListen(port: number): Promise<Server | undefined> {
  const server = createServer().listen(port, '127.0.0.1')
  try {
    await once(server, 'listening')
    return server
  } catch {
    return undefined
  }
}
