import { once } from 'node:events'
import { createServer, type Server } from 'node:net'

/**
 * Below the kernel's own range (`ip_local_port_range`, 32768 and up on Linux): a port from there may become the near
 * end of any outgoing connection between the look and the broker's own `listen`.
 */
const FIRST_PORT = 12_000
const LAST_PORT = 32_000
const BLOCK_SIZE = 100

interface Block {
  next: number
  end: number
}

let block: Promise<Block> | undefined

/** Ports of 127.0.0.1 for servers that must know theirs before they start. No other test process gets the same. */
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

/** A block is this process's as long as it listens on the block's first port: the kernel gives it back, crash included. */
async function reserveBlock(): Promise<Block> {
  const blocks = (LAST_PORT - FIRST_PORT) / BLOCK_SIZE
  // Processes that start together look at different blocks first.
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
