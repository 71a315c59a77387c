import { createDeliveryCounter } from '../deliveries/metrics.ts'
import { Senders } from '../deliveries/senders.ts'
import { DisabledEndpoints } from '../endpoints/disabled-endpoints.ts'
import { Endpoints } from '../endpoints/service.ts'
import type { Foundation } from './foundation.ts'
import { taskOf } from './task-of.ts'

/** Puts together the endpoints and what delivers events to them. */
export function wireDeliveries(foundation: Foundation) {
  const { common, config, keyRing, owner, sendsFor, metrics, health } = foundation
  const { database, heartbeat, log } = common
  const { consoleUrl, endpointsAllowPrivate: mayBePrivate } = config
  const senders = new Senders({
    ...{ database, heartbeat, keyRing, consoleUrl, mayBePrivate, owner, log },
    deploymentId: sendsFor,
    attempts: createDeliveryCounter(metrics),
  })
  const disabled = new DisabledEndpoints(database, (endpoints) => {
    health.disabledEndpoints = endpoints
  })
  const tasks = [senders, disabled].map((work) => taskOf(foundation, work))
  return {
    endpoints: new Endpoints({ database, keyRing, mayBePrivate }),
    deliveries: {
      /** Something is due. */
      wake: () => senders.wake(),
      /** Starts the work in the background. Its end is registered in `open`. */
      start(open: AsyncDisposableStack): void {
        database.storage.onWritable(() => senders.wake())
        open.defer(async () => {
          await Promise.all([senders.stop(), ...tasks.map((task) => task.stop())])
        })
        for (const task of tasks) task.start()
      },
    },
  }
}
