import type { Entry, Journal } from './journal.ts'
import type { Order } from './orders.ts'
import type { Replica } from './replica.ts'

/**
 * Gives the order to all of these replicas, and withdraws it from the others after one has carried
 * it out.
 *
 * @returns undefined when no replica reached the step within the limit
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
    // Two reached the step at once. The caller only follows the first one.
    if (given.signal === 'SIGKILL') replica.startAgain()
    else replica.thaw()
  }
  return entry
}
