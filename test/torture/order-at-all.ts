import type { Entry, Journal } from './journal.ts'
import type { Order } from './orders.ts'
import type { Replica } from './replica.ts'

/**
 * Gives the order to all of these replicas, and takes it back from the others when one has carried it out. Undefined: none came to
 * the step in time.
 */
export async function orderAtAll(
  replicas: Replica[],
  journal: Journal,
  given: Omit<Order, 'id'>,
  limitMs: number,
): Promise<Entry | undefined> {
  const ids = new Set<string>()
  const next = journal.next(({ order }) => order !== undefined && ids.has(order.id), limitMs)
  const orders = replicas.map((replica) => ({ replica, order: replica.order(given) }))
  for (const { order } of orders) ids.add(order.id)
  const entry = await next
  for (const { replica, order } of orders) {
    if (replica.withdraw(order) || replica.name === entry?.replica) continue
    // Two came to the step at once: the second one is none of the caller's.
    if (given.signal === 'SIGKILL') replica.startAgain()
    else replica.thaw()
  }
  return entry
}
